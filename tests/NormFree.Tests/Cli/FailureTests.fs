module NormFree.Tests.Cli.FailureTests

open System
open System.IO
open System.Text
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support
open TorchSharp

let private write name (bytes: byte[]) = lazy (Tool.scratch.Write(name, bytes))

let private text =
    write "text.txt" (Encoding.UTF8.GetBytes(String.replicate 50 "no network, no image, no data set\n"))

let private batch = write "cut/data_batch_1.bin" (Array.zeroCreate 5000)

let private archive =
    write "cut.zip" (Array.append [| 0x50uy; 0x4Buy; 3uy; 4uy |] (Array.zeroCreate 500))

let private folder name = lazy ((Directory.CreateDirectory(Tool.scratch.File name)).FullName)

let private emptyClass =
    lazy
        (for file in [ "train/cat/note.txt"; "train/dog/x.png"; "test/cat/x.png"; "test/dog/x.png" ] do
            Tool.scratch.Write($"empty/{file}", [| 0uy |]) |> ignore

         Tool.scratch.File "empty")

/// A file of float32 tensors: name, shape and the value of all elements.
let private tensors name (content: (string * int64 list * float32) list) =
    lazy
        (let writer = SafetensorsWriter()

         for tensor, shape, value in content do
             let count = shape |> List.fold (*) 1L |> int
             let bytes = Array.create count value |> Array.collect BitConverter.GetBytes
             writer.Add(tensor, DType.F32, ReadOnlySpan(List.toArray shape), ReadOnlyMemory bytes) |> ignore

         let path = Tool.scratch.File name
         writer.Save path
         path)

/// The tiny network with other weights.
let private otherWeights =
    lazy
        (use checkpoint = Checkpoint.load torch.ScalarType.Float32 Tool.checkpoint.Value
         use network = Inference.Networks.trained torch.ScalarType.Float32 9L checkpoint.Network.Spec
         let path = Tool.scratch.File "other-weights.safetensors"
         Checkpoint.save path None { checkpoint with Network = network }
         path)

/// Two classes with one image each. Its content does not matter.
let private pets =
    lazy
        (for part in [ "train/cat"; "train/dog"; "test/cat"; "test/dog" ] do
            Tool.scratch.Write($"pets/{part}/x.png", [| 0uy |]) |> ignore

         Tool.scratch.File "pets")

/// The same number of images, but each split has a class that the other lacks.
let private otherPets =
    lazy
        (for part in [ "train/cat"; "train/emu"; "test/cat"; "test/owl" ] do
            Tool.scratch.Write($"other-pets/{part}/x.png", [| 0uy |]) |> ignore

         Tool.scratch.File "other-pets")

let private image name = lazy (Path.Combine(repository, "tests/fixtures/images", name))

let private overlong =
    lazy (Tool.scratch.Write("overlong.png", pngOf 200000 1 8 0 (fun _ -> Array.zeroCreate 200000)))

let private square = [ 1L; 3L; 32L; 32L ]
let private good = tensors "good.safetensors" [ "input", square, 0.5f ]
let private interop name = lazy (Archives.PyTorchFixtures.fixturePath name)
let private stage1 = lazy (Path.Combine(fst Tool.tinyRun.Value, "stage1.last.safetensors"))
let private none = lazy "no-such-file"
let private out = lazy (Tool.scratch.File "failed")

/// A name, a command in which §n stands for the nth file, the files, and what the error must say.
let private failures =
    [ "a data set that needs files, without files",
      "train --dataset cifar10 --out §0",
      [ out ],
      [ "--data"; "normfree data get cifar10" ]
      "a data set that does not exist",
      "train --dataset cifar10 --data §1 --out §0",
      [ out; none ],
      [ "no-such-file"; "normfree data get cifar10" ]
      "a class without images",
      "train --dataset folder --data §1 --out §0",
      [ out; emptyClass ],
      [ "train/cat"; "no images" ]
      "classes that differ between the splits",
      "train --dataset folder --data §1 --out §0",
      [ out; otherPets ],
      [ "'test' lacks classes of 'train': emu"; "'train' lacks classes of 'test': owl"; "add them to" ]
      "a truncated archive", "train --dataset folder --data §1 --out §0", [ out; archive ], [ "cut.zip"; "truncated" ]
      "a truncated batch file",
      "train --dataset cifar10 --data §1 --out §0",
      [ out; batch ],
      [ "data_batch_1.bin"; "5000 bytes"; "3073" ]
      "a pipe as data set", "train --dataset folder --data §1 --out §0", [ out; Tool.pipe ], [ "a pipe or socket" ]
      "a pipe as CIFAR-10", "data check --dataset cifar10 --data §0", [ Tool.pipe ], [ "a pipe or socket" ]
      "a text file as data set", "train --dataset folder --data §1 --out §0", [ out; text ], [ "text.txt"; ".zip" ]
      "images that the network does not fit", "train --size 30 --out §0", [ out ], [ "30×30"; "multiple of 32" ]
      "to start from a checkpoint of another network",
      "train --arch reactnet-18 --init §1 --limit 20 --test-limit 20 --out §0",
      [ out; Tool.checkpoint ],
      [ "do not fit reactnet-18"; "conv1.weight has shape"; "checkpoint of this network" ]
      "to start from a text file", "train --init §1 --out §0", [ out; text ], [ "text.txt"; "safetensors" ]
      "to start from a file that does not exist", "train --init §1 --out §0", [ out; none ], [ "no-such-file"; "path" ]
      "a teacher that is a text file",
      "train --loss kd --teacher §1 --out §0",
      [ out; text ],
      [ "text.txt"; "safetensors" ]
      "a run folder that is a file", "train --out §0", [ text ], [ "text.txt"; "it is a file"; "another folder" ]
      "a run folder below a file", "train --out §0/run", [ text ], [ "text.txt"; "another folder" ]
      "a run folder that cannot be created", "train --out /proc/run", [], [ "/proc/run"; "another folder" ]
      "to resume a folder without a run", "train --resume --out §0", [ folder "nothing" ], [ "no run"; "run.json" ]
      "to evaluate a text file", "eval --checkpoint §0", [ text ], [ "text.txt"; "safetensors" ]
      "to evaluate a folder", "eval --checkpoint §0", [ folder "nothing" ], [ "nothing"; "is a folder" ]
      "to evaluate on other classes",
      "eval --checkpoint §0 --dataset folder --data §1",
      [ Tool.checkpoint; pets ],
      [ "10 classes"; "data set that it was trained on" ]
      "to classify a text file", "predict --checkpoint §0 §1", [ Tool.checkpoint; text ], [ "text.txt"; "JPEG or PNG" ]
      "to classify a file that does not exist",
      "predict --checkpoint §0 §1",
      [ Tool.checkpoint; none ],
      [ "no-such-file"; "path" ]
      "to classify a folder",
      "predict --checkpoint §0 §1",
      [ Tool.checkpoint; folder "nothing" ],
      [ "nothing"; "is a folder" ]
      "to classify a JPEG 2000",
      "predict --checkpoint §0 §1",
      [ Tool.checkpoint; image "picture.jp2" ],
      [ "picture.jp2"; "JPEG 2000"; "PNG or JPEG" ]
      "to classify an image that is too long",
      "predict --checkpoint §0 §1",
      [ Tool.checkpoint; overlong ],
      [ "overlong.png"; "200000×1"; "proportions" ]
      "to classify it with the packed engine",
      "predict --packed §0 §1",
      [ Tool.packed; overlong ],
      [ "overlong.png"; "200000×1"; "proportions" ]
      "tensors under another name",
      "predict --checkpoint §0 --input §1 --output §2",
      [ Tool.checkpoint; tensors "name.safetensors" [ "inputs", square, 0f ]; out ],
      [ "'input'"; "missing" ]
      "tensors of another rank",
      "predict --checkpoint §0 --input §1 --output §2",
      [ Tool.checkpoint; tensors "rank.safetensors" [ "input", square.Tail, 0f ]; out ],
      [ "'input'"; "3×32×32"; "N×3×H×W" ]
      "tensors of four channels",
      "predict --checkpoint §0 --input §1 --output §2",
      [ Tool.checkpoint; tensors "channels.safetensors" [ "input", [ 1L; 4L; 32L; 32L ], 0f ]; out ],
      [ "1×4×32×32"; "N×3×H×W" ]
      "tensors of a single pixel",
      "predict --checkpoint §0 --input §1 --output §2",
      [ Tool.checkpoint; tensors "pixel.safetensors" [ "input", [ 1L; 3L; 1L; 1L ], 0f ]; out ],
      [ "1×1"; "at least 2×2 pixels" ]
      "tensors that are not numbers",
      "predict --checkpoint §0 --input §1 --output §2",
      [ Tool.checkpoint; tensors "nan.safetensors" [ "input", square, nanf ]; out ],
      [ "'input'"; "NaN"; "finite" ]
      "an output in a folder that does not exist",
      "predict --checkpoint §0 --input §1 --output §2/x/y",
      [ Tool.checkpoint; good; folder "nothing" ],
      [ "there is no folder"; "nothing/x" ]
      "an output that is a folder",
      "predict --checkpoint §0 --input §1 --output §2",
      [ Tool.checkpoint; good; folder "nothing" ],
      [ "nothing is a folder" ]
      "to train on a device that the machine lacks",
      "train --device cuda --out §0",
      [ out ],
      [ "device cuda"; "none"; "Choose device cpu" ]
      "to measure on images that are too small", "bench train --image 4", [], [ "4×4" ]
      "to measure inference on images that are too small", "bench infer --image 2", [], [ "2×2" ]
      "a summary for images that the network does not fit", "summary --size 37", [], [ "37×37"; "multiple of 32" ]
      "a report of a folder without a run", "report §0 --out §1.html", [ folder "nothing"; out ], [ "no run" ]
      "a download from a mirror that does not answer",
      "data get cifar10 --mirror http://127.0.0.1:9/ --retries 0 --out §0",
      [ folder "get" ],
      [ "127.0.0.1:9"; "mirror" ]
      "an import of a file that does not exist",
      "import --pytorch §0 --arch reactnet-18 --out §1",
      [ none; out ],
      [ "no-such-file" ]
      "an import of a folder",
      "import --pytorch §0 --arch reactnet-18 --out §1",
      [ folder "nothing"; out ],
      [ "folder" ]
      "an import of a text file",
      "import --pytorch §0 --arch reactnet-18 --out §1",
      [ text; out ],
      [ "text.txt"; "it is text" ]
      "an import of a safetensors file as PyTorch's",
      "import --pytorch §0 --arch reactnet-18 --out §1",
      [ good; out ],
      [ "good.safetensors"; "safetensors" ]
      "an import of a module instead of its state",
      "import --pytorch §0 --arch reactnet-18 --out §1",
      [ interop "module.pth"; out ],
      [ "torch.nn.modules.linear"; "Nothing was imported or executed" ]
      "an import of another network",
      "import --pytorch §0 --arch reactnet-small --width 0.34 --stem cifar --norm batch-norm --classes 10 --out §1",
      [ interop "small-bn-free.pth"; out ],
      [ "missing in the file (60):"
        "  layer1.0.bn1.weight"
        "and 50 more, 60 in all"
        "unexpected in the file (12):"
        "  conv1.gain"
        "and 2 more, 12 in all"
        "--partial" ]
      "a partial import without a tensor that fits",
      "import --safetensors §0 --arch reactnet-18 --partial --out §1",
      [ good; out ],
      [ "  input"; "Not one tensor fits" ]
      "an import to a folder that does not exist",
      "import --pytorch §0 --arch reactnet-small --width 0.34 --stem cifar --classes 10 --out §1/x/y",
      [ interop "small-bn-free.pth"; folder "nothing" ],
      [ "there is no folder" ]
      "an import for images that the network does not fit",
      "import --pytorch §0 --arch reactnet-18 --size 33 --out §1",
      [ interop "small-bn-free.pth"; out ],
      [ "33×33"; "multiple of 32" ]
      "an export of a file that is no checkpoint",
      "export --checkpoint §0 --format onnx --out §1",
      [ good; out ],
      [ "format"; "not a NormFree checkpoint" ]
      "an export to a folder",
      "export --checkpoint §0 --format pytorch --out §1",
      [ Tool.checkpoint; folder "nothing" ],
      [ "nothing is a folder" ]
      "to pack real weights",
      "export --checkpoint §0 --format packed --out §1",
      [ stage1; out ],
      [ "has real weights"; "--binarise activations+weights --init" ]
      "to verify a checkpoint as packed",
      "verify --checkpoint §0 --packed §0",
      [ Tool.checkpoint ],
      [ "normfree-checkpoint"; "normfree export --format packed" ]
      "to verify against real weights",
      "verify --checkpoint §0 --packed §1",
      [ stage1; Tool.packed ],
      [ "has real weights" ]
      "to verify against other weights",
      "verify --checkpoint §0 --packed §1",
      [ otherWeights; Tool.packed ],
      [ "does not compute what"; "layer conv1: its output differs"; "Export the checkpoint again" ] ]

let private fill (line: string) (files: Lazy<string> list) =
    let put (word: string) =
        List.indexed files
        |> List.fold
            (fun (word: string) (i, file) -> if word.Contains $"§{i}" then word.Replace($"§{i}", file.Value) else word)
            word

    line.Split ' ' |> Array.map put |> Array.toList

let private table =
    testList
        "a failure ends with 1 and says what failed, where, and what to do"
        [ for i, (what, line, files, words) in List.indexed failures do
              test what {
                  // Tests run in parallel, and only one process may use a run's folder.
                  let own = lazy (Tool.scratch.File $"failed-{i}")
                  let files = files |> List.map (fun file -> if obj.ReferenceEquals(file, out) then own else file)
                  Tool.run (fill line files) |> Tool.fails 1 words
                  Expect.isFalse (Path.Exists own.Value) "the output"
              } ]

let tests = testList "Failures" [ table ]
