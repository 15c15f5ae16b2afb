/// The tool on networks of the zoo.
module NormFree.Tests.Zoo.ZooToolTests

open System
open System.IO
open Expecto
open NormFree.Cli
open NormFree.Runs
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support
open NormFree.Zoo

let private names = List.ofSeq ModelZoo.Names
let private withCheckpoint = names |> List.find (fun name -> ModelZoo.Has(name, ZooFileKind.Checkpoint))

let private reading =
    [ test "the list has every network" {
          for line in [ "zoo"; "zoo list" ] do
              contains names (Tool.runLine line |> Tool.succeeds).Out
      }

      test "a card is printed as on its page" {
          let shown = (Tool.runLine $"zoo card {names.Head}" |> Tool.succeeds).Out
          Expect.equal (shown.TrimEnd()) (ModelZoo.Card(names.Head).ToMarkdown().TrimEnd()) "card"
      }

      test "an unknown name is wrong usage, with the nearest name" {
          let mistyped = names.Head.Remove(2, 1)

          for line in
              [ $"zoo card {mistyped}"
                $"zoo export {mistyped}"
                $"eval --checkpoint zoo:{mistyped}"
                $"predict --packed zoo:{mistyped} a.png"
                $"summary --checkpoint zoo:{mistyped}"
                $"train --init zoo:{mistyped} --dataset synthetic" ] do
              Tool.runLine line |> Tool.fails 2 [ $"'{mistyped}'"; $"Did you mean '{names.Head}'?" ]
      }

      test "an export has the bytes of the zoo" {
          let folder = Tool.scratch.File "exported"
          Tool.runLine $"zoo export {withCheckpoint} --out {folder}" |> Tool.succeeds |> ignore

          for kind in Enum.GetValues<ZooFileKind>() do
              let path = Path.Combine(folder, ModelZoo.FileName(withCheckpoint, kind))
              Expect.equal (File.ReadAllBytes path) (ModelZoo.Bytes(withCheckpoint, kind)) $"{kind}"
      } ]

/// A picture of noise.
let private picture =
    lazy (Tool.scratch.Write("zoo.png", png (noise (NormFree.Data.RandomStream.OfSeed 5UL) 40 40)))

let private using' =
    [ test "predict classifies with a network of the zoo, packed or by a training engine" {
          for arguments in
              [ "--packed"; "--checkpoint"; "--engine packed --checkpoint"; "--engine composite --checkpoint" ] do
              let shown =
                  Tool.runLine $"predict --top 10 {arguments} zoo:{withCheckpoint} {picture.Value}" |> Tool.succeeds

              contains [ for c in ModelZoo.Card(withCheckpoint).Accuracy.Classes -> c.Name ] shown.Out
      }

      test "eval of other images than those of the task names both" {
          Tool.runLine $"eval --checkpoint zoo:{withCheckpoint} --dataset synthetic"
          |> Tool.fails 1 [ $"zoo:{withCheckpoint}"; "synthetic"; "Give the data set" ]
      }

      test "verify compares both files of a network" {
          Tool.runLine $"verify --checkpoint zoo:{withCheckpoint} --packed zoo:{withCheckpoint}"
          |> Tool.succeeds
          |> ignore
      }

      test "summary lists the layers of a packed file, as of its checkpoint" {
          let folder = Tool.scratch.File "summarised"
          Tool.runLine $"zoo export {withCheckpoint} --out {folder}" |> Tool.succeeds |> ignore
          let checkpoint = Path.Combine(folder, ModelZoo.FileName(withCheckpoint, ZooFileKind.Checkpoint))
          let packed = Tool.runLine $"summary --checkpoint zoo:{withCheckpoint}" |> Tool.succeeds
          Expect.equal (Tool.runLine $"summary --checkpoint {checkpoint}" |> Tool.succeeds).Out packed.Out "summaries"
      }

      test "export and verify need a checkpoint, which not every network has" {
          for name in names do
              if not (ModelZoo.Has(name, ZooFileKind.Checkpoint)) then
                  let out = Tool.scratch.File "never"

                  Tool.runLine $"export --checkpoint zoo:{name} --format pytorch --out {out}"
                  |> Tool.fails 2 [ name; "packed file"; withCheckpoint ]
      } ]

/// A checkout with an empty zoo.
let private checkout name =
    let folder = Tool.scratch.File name
    Directory.CreateDirectory(Path.Combine(folder, "src", "NormFree.Zoo", "Networks")) |> ignore
    Directory.CreateDirectory(Path.Combine(folder, "docs")) |> ignore
    File.Copy(ZooPages.overview repository, ZooPages.overview folder)
    folder

let private networks checkout = Path.Combine(checkout, "src", "NormFree.Zoo", "Networks")

let private card checkout name =
    let path = Path.Combine(networks checkout, $"{name}.card.json")
    CardJson.Read(ReadOnlySpan(File.ReadAllBytes path), path)

/// The number of a field in what `eval --json` prints.
let private top1 (json: string) =
    match Json.read<Accuracy> json with
    | Ok accuracy -> accuracy.Top1
    | Error problem -> failtest problem

/// A copy of the tiny run, with its description changed.
let private changedRun name change =
    let run = Tool.scratch.File name
    Directory.CreateDirectory run |> ignore

    for path in Directory.GetFiles(fst Tool.tinyRun.Value) do
        File.Copy(path, Path.Combine(run, string (Path.GetFileName path)))

    RunFolder.describe { Path = run } (change (RunFolder.readDescription { Path = run }))
    run

let private adding =
    [ test "an added network has the accuracy that eval measures, and its files, page and row" {
          let checkout, run = checkout "checkout", fst Tool.tinyRun.Value
          let add = $"zoo add cifar10-tiny --run {run} --out {checkout}"
          Tool.runLine $"{add} --with-checkpoint" |> Tool.succeeds |> ignore

          let card, file =
              card checkout "cifar10-tiny",
              fun kind -> Path.Combine(networks checkout, ModelZoo.FileName("cifar10-tiny", kind))

          let evaluated =
              Tool.runLine $"eval --checkpoint {file ZooFileKind.Packed} --dataset synthetic --json"
              |> Tool.succeeds

          Expect.floatClose Expecto.Accuracy.high (card.Accuracy.Top1()) (top1 evaluated.Out) "top-1"

          Expect.equal
              (card.Data.TrainingImages, card.Data.TestImages, card.Accuracy.Images())
              (60, 1000, 1000)
              "images"

          Expect.equal
              [ for stage in card.Training.Stages -> stage.Epochs, stage.PlannedEpochs ]
              [ 2, 2; 2, 2 ]
              "epochs"

          for kind, described in [ ZooFileKind.Packed, card.Packed; ZooFileKind.Checkpoint, nonNull card.Checkpoint ] do
              ZooResource.Require("file", described, ReadOnlySpan(File.ReadAllBytes(file kind)))

          Expect.equal (File.ReadAllText(ZooPages.page checkout "cifar10-tiny")) (card.ToMarkdown()) "page"
          Expect.stringContains (File.ReadAllText(ZooPages.overview checkout)) (ZooPages.table [ card ]) "table"

          // The checkpoint has no optimiser and starts a training.
          let out = Tool.scratch.File "from-zoo"
          let tiny = Tool.tiny @ [ out; "--init"; file ZooFileKind.Checkpoint ] |> List.filter ((<>) "--json-log")
          Tool.run tiny |> Tool.succeeds |> ignore

          Tool.runLine add |> Tool.succeeds |> ignore
          Expect.isFalse (File.Exists(file ZooFileKind.Checkpoint)) "the checkpoint of the earlier entry"
      }

      test "the card of a run that has not finished says so" {
          let checkout, run =
              checkout "checkout-unfinished", changedRun "unfinished" (fun d -> { d with Finished = false })

          Tool.runLine $"zoo add cifar10-part --run {run} --out {checkout}" |> Tool.succeeds |> ignore
          contains [ "has not finished"; "epoch" ] ((card checkout "cifar10-part").ToMarkdown())
      }

      test "the card of a script's run has the script's command line" {
          let checkout, run =
              checkout "checkout-script", changedRun "of-script" (fun d -> { d with Arguments = [] })

          let add = $"zoo add cifar10-script --run {run} --out {checkout}"
          Tool.runLine add |> Tool.fails 2 [ run; "--command"; "--dataset"; "--data" ]

          Tool.run (Array.toList (add.Split ' ') @ [ "--dataset"; "synthetic"; "--command"; "dotnet fsi tiny.fsx" ])
          |> Tool.succeeds
          |> ignore

          Expect.sequenceEqual (card checkout "cifar10-script").Training.Commands [ "dotnet fsi tiny.fsx" ] "commands"

          Tool.run [ "zoo"; "add"; "cifar10-a"; "--run"; fst Tool.tinyRun.Value; "--out"; checkout; "--command"; "x" ]
          |> Tool.fails 2 [ "its own command line" ]
      }

      test "wrong names, checkouts and runs are refused before anything is written" {
          let checkout, run = checkout "checkout-refused", fst Tool.tinyRun.Value

          Tool.runLine $"zoo add tiny --run {run} --out {checkout}"
          |> Tool.fails 2 [ "cifar10-"; "fashion-mnist-" ]

          Tool.runLine $"zoo add cifar10-a --run {run} --out {run}"
          |> Tool.fails 2 [ "no checkout"; "src/NormFree.Zoo" ]

          Tool.runLine $"zoo add cifar10-a --run {checkout} --out {checkout}"
          |> Tool.fails 1 [ "contains no run" ]

          Expect.isEmpty (Directory.GetFiles(networks checkout)) "files"
      } ]

let tests =
    testList "tool" [ testList "reading" reading; testList "using" using'; testList "adding" adding ]
