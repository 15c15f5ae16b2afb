/// Trainings on folders of images, from their defaults to what is printed at the end.
module NormFree.Tests.Cli.OwnImagesTests

open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Data
open NormFree.Runs
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support

/// Class folders with these numbers of images, of 100×80 pixels.
let private pictures name (classes: (string * int) list) =
    lazy
        (for label, count in classes do
            for i in 1..count do
                let folder = Path.Combine(Tool.scratch.File name, label)
                Directory.CreateDirectory folder |> ignore
                let random = RandomStream.OfKeys(int64 (hash label), int64 i)
                File.WriteAllBytes(Path.Combine(folder, $"{i}.png"), png (noise random 100 80))

         Tool.scratch.File name)

let private flat = pictures "flat" [ "ant", 12; "bee", 12; "cow", 7 ]
let private single = pictures "single" [ "ant", 12; "bee", 1 ]
let private quick = "--epochs 1 --width 0.34 --threads 1 --telemetry off"

let private trainFlat = $"train --dataset folder --data {flat.Value} {quick}"

/// A finished run on the flat folder, and what it printed.
let private flatRun =
    lazy
        (let out = Tool.scratch.File "flat-run"
         out, (Tool.runLine $"{trainFlat} --out {out}" |> Tool.succeeds).Out)

let private configuration folder = (RunFolder.readDescription { Path = folder }).Configuration |> Option.get

let private defaults =
    testList
        "a flat folder"
        [ test "gets defaults that are printed and recorded" {
              let out, text = flatRun.Value

              contains
                  [ "Defaults for 31 images of 3 classes: --size 64 --batch 4 --lr 0.0005 --augment cutmix --ema 0.99 --schedule cosine --held-out 0.2."
                    "the folders ant, bee, cow are the classes" ]
                  text

              let found = configuration out
              let recipe = Option.get found.Stage2
              Expect.equal (found.Dataset.Size, found.Network.Width) (Some 64, Some 0.34) "size and width"
              Expect.equal (recipe.Batch, recipe.LearningRate, recipe.Schedule) (4, 5e-4, Cosine) "recipe"
              Expect.equal (recipe.HeldOut, recipe.Epochs) (0.2, 1) "held out, and the option that was given"

              Expect.equal
                  (recipe.WeightAverage, found.Dataset.Augment)
                  (Some 0.99, Some [ WithCutMix 1.0 ])
                  "average and CutMix"
          }

          test "is split, and what is said names the parts, small classes and short epochs" {
              contains
                  [ "5 of 31 training images"
                    "chosen with seed 1"
                    "26 are trained on"
                    "classes with fewer than 10 training images are seldom recognised: cow (7)"
                    "26 training images in batches of 4 are 7 steps per epoch"
                    "smaller --batch" ]
                  (snd flatRun.Value)
          }

          test "ends with the images on which the best epoch was chosen, and with each class" {
              let text = snd flatRun.Value
              contains [ "chosen on"; "held-out images"; "class"; "ant"; "bee"; "cow" ] text
              Expect.isFalse (text.Contains "top-5") "top-5 of three classes"
              Expect.isFalse (text.Contains "chosen on the test images") "no remark on test images"
          }

          test "takes every setting by its option" {
              let text =
                  $"{trainFlat} --size 32 --batch 8 --lr 0.002 --schedule linear --held-out 0.5 --augment none --ema 0 --print-config"
                  |> Tool.runLine
                  |> Tool.succeeds
                  |> _.Out

              let node = nonNull (JsonNode.Parse text)
              let recipe = nonNull node["Stage1"]
              let dataset = nonNull node["Dataset"]
              Expect.equal (string dataset["Size"]) "32" "size"
              Expect.equal (string recipe["Batch"], string recipe["LearningRate"]) ("8", "0.002") "recipe"
              Expect.equal (string recipe["Schedule"], string recipe["HeldOut"]) ("Linear", "0.5") "recipe"
              Expect.isNull recipe["WeightAverage"] "average"
              Expect.equal (string dataset["Augment"]) "[]" "augmentation"
          }

          test "is evaluated as a whole with --test-split ." {
              let run = fst flatRun.Value

              let text =
                  (Tool.runLine
                      $"eval --checkpoint {run}/stage2.best.safetensors --dataset folder --data {flat.Value} --test-split ."
                   |> fun result ->
                       Expect.equal result.Code 0 result.Err
                       result.Out)

              contains [ "31"; "top-1"; "ant"; "cow" ] text
              Expect.isFalse (text.Contains "top-5") "top-5 of three classes"
          }

          test "with a class of one image is an error" {
              let out = Tool.scratch.File "never"

              Tool.runLine $"train --dataset folder --data {single.Value} {quick} --out {out}"
              |> Tool.fails 1 [ "at least two training images"; "bee (1)"; "Add images" ]
          } ]

/// The configuration that `train` on the flat folder would have with these options.
let private planned options =
    let text =
        (Tool.runLine $"train --dataset folder --data {flat.Value} {options} --print-config" |> Tool.succeeds).Out

    nonNull (JsonNode.Parse text)

let private initial =
    testList
        "--init"
        [ test "is a network of the zoo for few images, unless an option describes the network" {
              let start options =
                  let found = planned options
                  let network, dataset = nonNull found["Network"], nonNull found["Dataset"]
                  string found["Init"], string network["Architecture"], string dataset["Size"]

              Expect.equal (start "") ("zoo:cifar10-reactnet18", "reactnet-18", "64") "nothing else is said"
              Expect.equal (start "--size 32") ("zoo:cifar10-reactnet18", "reactnet-18", "32") "another size"
              Expect.equal (start "--init none") ("", "reactnet-small", "64") "random weights"

              for options in [ "--width 0.5"; "--arch reactnet-18"; "--norm batch-norm"; "--recipe published" ] do
                  let init, _, _ = start options
                  Expect.equal init "" options
          }

          test "gives architecture, size and preprocessing, and --freeze keeps the body" {
              let out = Tool.scratch.File "tuned-flat"

              let text =
                  (Tool.runLine
                      $"train --dataset folder --data {flat.Value} --init {Tool.checkpoint.Value} --freeze 1 --epochs 1 --threads 1 --out {out}"
                   |> Tool.succeeds)
                      .Out

              contains [ "Preprocessing of"; "32×32 pixels, normalisation, resize and crop"; "10 classes" ] text
              let found = configuration out
              let recipe = Option.get found.Stage2
              Expect.equal found.Dataset.Size (Some 32) "size"
              Expect.equal found.Dataset.Preprocessing (Some [ ResizeShort 32; CentreCrop 32 ]) "preprocessing"
              Expect.isSome found.Dataset.Normalisation "normalisation"
              Expect.equal (recipe.Freeze, found.Stage1) (1, None) "recipe"
              Expect.equal found.Network.Architecture "reactnet-small" "architecture"

              Tool.runLine $"train --resume --out {out}" |> Tool.succeeds |> ignore
          }

          test "is needed by --freeze" {
              Tool.runLine $"{trainFlat} --freeze 2 --out never" |> Tool.fails 2 [ "--freeze needs --init" ]
          }

          test "rejects a packed file and names its checkpoint" {
              Tool.runLine $"{trainFlat} --init {Tool.packed.Value} --out never"
              |> Tool.fails 1 [ "it is a packed file"; "stage2.best.safetensors" ]

              let beside name = Path.Combine(Directory.CreateDirectory(Tool.scratch.File "pair").FullName, name)
              File.Copy(Tool.packed.Value, beside "a.packed.safetensors", true)
              File.Copy(Tool.checkpoint.Value, beside "a.safetensors", true)

              Tool.runLine $"""{trainFlat} --init {beside "a.packed.safetensors"} --out never"""
              |> Tool.fails 1 [ "it is a packed file"; $"""--init {beside "a.safetensors"}""" ]
          }

          test "names the networks of the zoo if there is no such one" {
              Tool.runLine $"{trainFlat} --init zoo:cat --out never"
              |> Tool.fails 2 [ "cat"; "cifar10-reactnet18" ]
          } ]

let private others =
    [ test "--lr find suggests a rate or none, draws a plot, and trains nothing" {
          let out = Tool.scratch.File "rates"

          let text =
              (Tool.runLine
                  $"train --dataset synthetic --limit 60 --test-limit 20 --batch 10 --width 0.34 --threads 1 --lr find --out {out}"
               |> Tool.succeeds)
                  .Out

          contains [ "--lr"; "Plot: "; "lr-find.png" ] text
          Expect.isTrue (FileInfo(Path.Combine(out, "lr-find.png")).Length > 1000L) "plot"
          Expect.isFalse (File.Exists(Path.Combine(out, "run.json"))) "no run"
      }

      test "a run on a data set with test images says that its best epoch was chosen on them" {
          let text = (Tool.run [ "train"; "--resume"; "--out"; fst Tool.tinyRun.Value ] |> Tool.succeeds).Out

          contains [ "chosen on"; "test images"; "--held-out 0.1"; "top-5"; "Most frequent confusions" ] text
      }

      test "eval prints each class and the most frequent confusions" {
          let text =
              (Tool.runLine $"eval --checkpoint {Tool.checkpoint.Value} --dataset synthetic --test-limit 40"
               |> Tool.succeeds)
                  .Out

          contains [ "top-5"; "class"; "correct"; "Most frequent confusions: "; " as " ] text
      }

      test "data get says why it has no synthetic images, and lists what it has" {
          contains [ "The synthetic one has no files" ] (Tool.runLine "data get --help" |> Tool.succeeds).Out
          Tool.runLine "data get synthetic" |> Tool.fails 2 [ "cifar10"; "emnist"; "fashion-mnist" ]
      } ]

let tests = testList "own images" ([ defaults; initial ] @ others)
