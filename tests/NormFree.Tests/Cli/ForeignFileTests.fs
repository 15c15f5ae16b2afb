/// Files of other programs, and files of the wrong kind, given to the tool.
module NormFree.Tests.Cli.ForeignFileTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs
open NormFree.Tests
open NormFree.Tests.Cli
open TorchSharp

let private net = "--arch reactnet-small --width 0.34 --stem cifar --classes 10"
let private fixture = lazy (Archives.PyTorchFixtures.fixturePath "small-bn-free.pth")
let private program = lazy (Archives.PyTorchFixtures.fixturePath "script.pth")

/// An imported network without class names.
let private imported =
    lazy
        (let path = Tool.scratch.File "foreign.safetensors"
         Tool.runLine $"import --pytorch {fixture.Value} {net} --out {path}" |> Tool.succeeds |> ignore
         path)

/// The tensors of the imported network in a plain safetensors file, the biases of its classifier with this value.
let private plain name (bias: float32) =
    lazy
        (use checkpoint = Checkpoint.load torch.ScalarType.Float32 imported.Value
         let writer = SafetensorsWriter()

         for key, tensor in checkpoint.Network.Tensors do
             let bytes =
                 if key = "fc.bias" then
                     Array.create (int (tensor.numel ())) bias |> Array.collect BitConverter.GetBytes
                 else
                     TensorBytes.ofTensor tensor

             writer.Add(key, TensorBytes.typeOf tensor.dtype, ReadOnlySpan tensor.shape, ReadOnlyMemory bytes)
             |> ignore

         let path = Tool.scratch.File name
         writer.Save path
         path)

let private finite = plain "plain.safetensors" 0f
let private broken = plain "nan-weights.safetensors" nanf

let private contains (words: string list) (text: string) =
    for word in words do
        Expect.stringContains text word "output"

let private assumptions =
    testList
        "an import prints what it assumed"
        [ for what, options, words in
              [ "by default",
                "",
                [ "reactnet-small, stem cifar, norm bn-free (default), binary activations+weights (default)"
                  "shortcut weights binary (default), recipe published (default)"
                  "assumed preprocessing: images of 32×32 (others: shorter side resized, centre cropped), subtract the mean 0.491"
                  "assumed classes: 10, of imported" ]
                "with options",
                " --norm bn-free --size 128",
                [ "norm bn-free, binary"
                  "resize the shorter side to 146 pixels, crop the centre to 128×128, subtract the mean 0.485" ]
                "with another preprocessing",
                " --size 128 --resize 150 --normalisation cifar10",
                [ "resize the shorter side to 150 pixels, crop the centre to 128×128, subtract the mean 0.491" ] ] do
              test what {
                  let out = Tool.scratch.File $"assumed{options.Length}.safetensors"

                  (Tool.runLine $"import --pytorch {fixture.Value} {net}{options} --out {out}" |> Tool.succeeds).Out
                  |> contains words
              }

          test "and a resize below the crop is refused" {
              Tool.runLine $"import --pytorch {fixture.Value} {net} --size 128 --resize 64 --out x"
              |> Tool.fails 2 [ "--resize 64"; "128" ]
          }

          test "and an unknown state dict is refused with a list" {
              Tool.runLine $"import --pytorch {fixture.Value} {net} --weights ema --out x"
              |> Tool.fails 1 [ "'ema'"; ". (62 tensors)" ]
          } ]

let private image = lazy (Path.Combine(repository, "tests/fixtures/images/rgb.png"))

let private nonFinite =
    let accepted =
        lazy
            (let path = Tool.scratch.File "nan.checkpoint.safetensors"

             (Tool.runLine $"import --safetensors {broken.Value} {net} --allow-nonfinite --out {path}"
              |> Tool.succeeds)
                 .Out
             |> contains [ "--allow-nonfinite"; "fc.bias" ]

             path)

    testList
        "NaN"
        [ test "in weights is refused with the tensor's name" {
              Tool.runLine $"import --safetensors {broken.Value} {net} --out x"
              |> Tool.fails 1 [ "not finite"; "  fc.bias"; "--allow-nonfinite" ]
          }

          for what, line in
              [ "predict", $"predict --checkpoint § {image.Value}"
                "eval", "eval --checkpoint § --dataset synthetic --test-limit 10" ] do
              test $"is an error of {what}, not a result" {
                  let result = Tool.runLine (line.Replace("§", accepted.Value))
                  Tool.fails 1 [ "logit"; "NaN"; "earlier checkpoint" ] result
                  Expect.isFalse (result.Out.Contains "NaN") "output"
              }

          test "in weights is an error of an ONNX export that names the tensor" {
              Tool.runLine $"export --checkpoint {accepted.Value} --format onnx --out x.onnx"
              |> Tool.fails 1 [ "NaN or infinity in fc.bias" ]
          } ]

let private evaluation =
    testList
        "an imported network"
        [ test "is evaluated on a data set with as many classes, and the assumption is printed" {
              (Tool.runLine $"eval --checkpoint {imported.Value} --dataset synthetic --test-limit 10"
               |> Tool.succeeds)
                  .Out
              |> contains
                  [ "imported without class names"; "its 10 outputs are taken as the classes of synthetic"; "top-1" ]
          }

          test "is not evaluated on a data set with another number of classes" {
              let path = Tool.scratch.File "seven.safetensors"
              let seven = net.Replace("--classes 10", "--classes 7 --partial")
              Tool.runLine $"import --pytorch {fixture.Value} {seven} --out {path}" |> Tool.succeeds |> ignore

              Tool.runLine $"eval --checkpoint {path} --dataset synthetic --test-limit 10"
              |> Tool.fails 1 [ "7 classes"; "has 10" ]
          }

          test "is fine-tuned on a data set with another number of classes by --init, with a warning, in both stages" {
              let path = Tool.scratch.File "seven.safetensors"
              let seven = net.Replace("--classes 10", "--classes 7 --partial")
              Tool.runLine $"import --pytorch {fixture.Value} {seven} --out {path}" |> Tool.succeeds |> ignore

              for binarise in [ "activations"; "activations+weights" ] do
                  let out = Tool.scratch.File $"tuned-{binarise.Length}"

                  let result =
                      Tool.runLine
                          $"train --arch reactnet-small --width 0.34 --binarise {binarise} --init {path} --epochs 1 --limit 20 --test-limit 10 --batch 10 --telemetry off --out {out}"

                  Expect.equal result.Code 0 $"exit code; the error stream: {result.Err}"
                  contains [ path; "7 classes"; "the classifier starts with new weights" ] (result.Out + result.Err)
          }

          test "of another number of classes names --classes and --init" {
              let seven = net.Replace("--classes 10", "--classes 7")

              Tool.runLine $"import --pytorch {fixture.Value} {seven} --out never"
              |> Tool.fails 1 [ "fc.bias"; "give it with --classes"; "train --init"; "--partial" ]
          }

          test "is evaluated on images of any size, as predict does" {
              let folder = Path.Combine(Tool.scratch.File "sized", "train")
              let picture = File.ReadAllBytes image.Value

              for label in 0..9 do
                  let path = Path.Combine(folder, string label, "1.png")
                  Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
                  File.WriteAllBytes(path, picture)

              let line =
                  $"eval --checkpoint {imported.Value} --dataset folder --data {nonNull (Path.GetDirectoryName folder)}"

              Tool.runLine line |> Tool.fails 1 [ "--test-split NAME" ]
              let result = Tool.runLine $"{line} --test-split train"
              Expect.equal result.Code 0 $"exit code; the error stream: {result.Err}"
              Expect.stringContains result.Out "10" "images"
              Expect.isFalse (result.Err.Contains "skipped") "no image is skipped"
          } ]

let private bytes name (content: byte[]) = lazy (Tool.scratch.Write(name, content))
let private text name (content: string) = bytes name (Encoding.Latin1.GetBytes content)

/// Files that are no checkpoints: the file, and what the error must say.
let private kinds =
    [ "a PyTorch file", fixture, [ "normfree import --pytorch" ]
      "a TorchScript program", program, [ "TorchScript"; "state_dict" ]
      "a plain safetensors file", finite, [ "normfree import --safetensors" ]
      "an ONNX model", text "model.onnx" "\b\b\018\007pytorch", [ "ONNX"; "checkpoint that it was exported from" ]
      "a Git LFS pointer",
      text "lfs.pth" "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n",
      [ "Git LFS pointer"; "git lfs pull" ]
      "a web page", text "page.pth" "\n<!DOCTYPE html><html></html>", [ "web page"; "download the file itself" ]
      "TorchSharp's own format",
      text "own.dat" "n\012conv1.weight\006\004\b\003\003\003\000\000",
      [ "TorchSharp"; "save_safetensors" ]
      "a gzip file", bytes "packed.pth.gz" [| 0x1fuy; 0x8buy; 8uy; 0uy |], [ "gzip"; "gunzip" ]
      "an HDF5 file", bytes "weights.h5" (Array.append [| 0x89uy |] "HDF\r\n\026\n"B), [ "HDF5" ]
      "a pipe", Tool.pipe, [ "a pipe or socket"; "give a file" ]
      "an empty file", bytes "empty.safetensors" [||], [ "empty" ]
      "JSON", text "model.safetensors.index.json" "{\"weight_map\": {}}", [ "JSON"; "model.safetensors" ] ]

let private places =
    [ "eval --checkpoint §"
      "predict --checkpoint § x.png"
      "predict --packed § x.png"
      "summary --checkpoint §"
      "export --checkpoint § --format onnx --out never.onnx"
      "verify --checkpoint § --packed §"
      "train --init § --out never"
      "train --loss kd --teacher § --out never" ]

let private recognised =
    testList
        "a file of another kind"
        [ for what, file, words in kinds do
              test $"is named with a remedy: {what}" {
                  for line in places do
                      Tool.runLine (line.Replace("§", file.Value)) |> Tool.fails 1 words
              }

          for what, format, file, words in
              [ "safetensors as PyTorch's", "pytorch", finite, [ "normfree import --safetensors" ]
                "PyTorch's as safetensors", "safetensors", fixture, [ "normfree import --pytorch" ] ] do
              test $"is named by an import: {what}" {
                  Tool.runLine $"import --{format} {file.Value} {net} --out never" |> Tool.fails 1 words
              } ]

/// A file of 20 CIFAR records, with these labels' first.
let private records (path: string) first =
    let record i = Array.init 3073 (fun at -> if at = 0 then byte ((i + first) % 10) else byte (i * at))
    Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
    File.WriteAllBytes(path, Array.collect record [| 0..19 |])

let private moves =
    testList
        "a run whose data moved"
        [ test "resumes with --data, or if its folder moved with them, after a check of the fingerprints" {
              let home = Tool.scratch.File "home"
              let at (folder: string) file = Path.Combine(folder, file)
              records (at home "here/a.bin") 0
              let options = "--width 0.25 --epochs 1 --batch 10 --threads 1 --telemetry off --json-log"

              Tool.runLine $"""train {options} --dataset cifar10 --data {at home "here/a.bin"} --out {at home "run"}"""
              |> Tool.succeeds
              |> ignore

              let resume folder more = Tool.runLine $"""train --resume --json-log --out {at folder "run"}{more}"""
              Directory.Move(at home "here", at home "there")
              resume home "" |> Tool.fails 1 [ "a.bin"; "--data" ]

              (resume home $""" --data {at home "there/a.bin"}""" |> Tool.succeeds).Out
              |> contains [ "there/a.bin instead of "; "fingerprints of the training and the test images were checked" ]

              let away = Tool.scratch.File "away"
              Directory.Move(home, away)

              (resume away "" |> Tool.succeeds).Out |> contains [ "away/there/a.bin instead of "; "fingerprints" ]

              records (at away "other/a.bin") 3

              resume away $""" --data {at away "other/a.bin"}"""
              |> Tool.fails 1 [ "images or augmentation"; "the same images with --data" ]
          }

          test "finds them at their old absolute place from another working directory" {
              let file = Tool.scratch.Write("places/data/x", [||])
              let root = nonNull (Path.GetDirectoryName(nonNull (Path.GetDirectoryName file)))
              let places = Some { WorkingFolder = root; Folder = Path.Combine(root, "run") }
              Expect.equal (RunPlaces.locate "run" places "data/x") file "from the working directory"
              Expect.equal (RunPlaces.locate "run" places file) file "as it is"
              Expect.equal (RunPlaces.locate "run" places "data/y") "data/y" "nowhere"
              Expect.equal (RunPlaces.locate "run" None "data/x") "data/x" "of an earlier version"
          } ]

let tests =
    testList
        "Foreign files"
        [ assumptions; nonFinite; evaluation; recognised; testSequencedGroup "trainings of the tool" moves ]
