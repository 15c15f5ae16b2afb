/// Command lines, budgets and variants of experiment scripts.
module NormFree.Tests.Experiments.ScriptTests

open System
open System.IO
open Expecto
open NormFree.Data
open NormFree.Experiments
open NormFree.Networks
open NormFree.Reporting
open NormFree.Runs
open NormFree.Spec
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

type private Settings = { Count: int; Number: float; Text: string; Colour: ConsoleColor }

let private options =
    [ ScriptOptions.count "--count" (fun (s: Settings) n -> { s with Count = n })
      ScriptOptions.number "--number" (fun (s: Settings) x -> { s with Number = x })
      ScriptOptions.text "--text" (fun (s: Settings) text -> { s with Text = text })
      ScriptOptions.choice "--colour" [ "red", ConsoleColor.Red; "blue", ConsoleColor.Blue ] (fun s c ->
          { s with Colour = c }) ]

let private defaults = { Count = 1; Number = 1.0; Text = ""; Colour = ConsoleColor.Red }

let private parsing =
    [ test "options change the defaults; the last one counts" {
          Expect.equal
              (ScriptOptions.parse
                  options
                  defaults
                  [ "--count"; "2"; "--number"; "2e-3"; "--text"; "a b"; "--colour"; "blue"; "--count"; "3" ])
              (Ok { Count = 3; Number = 2e-3; Text = "a b"; Colour = ConsoleColor.Blue })
              "settings"

          Expect.equal (ScriptOptions.parse options defaults []) (Ok defaults) "defaults"
      }

      for arguments, problem in
          [ [ "--size"; "2" ], "unknown option '--size'"
            [ "--count" ], "--count needs a value"
            [ "--count"; "0" ], "--count: '0' is not N"
            [ "--count"; "-3" ], "--count: '-3' is not N"
            [ "--count"; "99999999999" ], "--count: '99999999999' is not N"
            [ "--number"; "0" ], "--number: '0' is not X"
            [ "--number"; "NaN" ], "--number: 'NaN' is not X"
            [ "--number"; "Infinity" ], "--number: 'Infinity' is not X"
            [ "--colour"; "green" ], "--colour: 'green' is not red|blue" ] do
          test $"an error: {problem}" {
              Expect.equal (ScriptOptions.parse options defaults arguments) (Error problem) "problem"
          }

      test "the usage lists all options" {
          Expect.equal
              (ScriptOptions.usage "script" options)
              "usage: script [--count N] [--number X] [--text TEXT] [--colour red|blue]"
              "usage"
      }

      test "a displayed command has no folders of the machine" {
          Expect.equal
              (ScriptOptions.display [ "/home/me/data/cifar/"; "a/b.zip"; "two words"; "--lr"; "2e-3" ])
              "cifar b.zip 'two words' --lr 2e-3"
              "words"
      } ]

let private parse arguments = Script.parse Budget.cifar ("/repository/experiments/norms.fsx" :: arguments)

let private script arguments =
    match parse arguments with
    | Ok script -> script
    | Error problem -> failtest problem

let private scripts =
    [ test "a script's name, root, data, budget and command" {
          let script = script [ "/data/cifar.zip"; "--epochs"; "3"; "--out"; "/x/page.md"; "--device"; "cuda" ]
          Expect.equal (script.Name, script.Root, script.Data) ("norms", "/repository", "/data/cifar.zip") "paths"
          Expect.equal (script.Budget.Epochs, script.Budget.Device, script.Budget.Batch) (3, Cuda, 64) "budget"
          Expect.equal script.Page "/x/page.md" "page"

          Expect.equal
              script.Command
              "dotnet fsi experiments/norms.fsx cifar.zip --epochs 3 --device cuda"
              "without folders, and without --out, which decides no result"
      }

      test "a page has the script's name unless --out names another" {
          Expect.equal (script [ "data" ]).Page "experiments/results/norms.md" "page"
      }

      for arguments, problem in
          [ [], "DATA is missing"
            [ "--epochs"; "3" ], "DATA is missing"
            [ "data"; "--epoch"; "3" ], "unknown option '--epoch'"
            [ "data"; "--out"; "page.html" ], "--out: 'page.html' is not FILE.md" ] do
          test $"""a wrong command line is answered with the usage: {String.Join(' ', arguments)}""" {
              match parse arguments with
              | Ok _ -> failtest "accepted"
              | Error text -> contains [ "usage: dotnet fsi experiments/norms.fsx DATA [--epochs N]"; problem ] text
          }

      test "images that cannot be opened are an error" {
          let text =
              messageOf<ExperimentException, _>(fun () -> Script.images Cifar10 (script [ "/no/such/data" ]))

          contains [ "/no/such/data"; "no such file" ] text
      }

      test "the page is written even if a run failed, which is an error after that" {
          use folder = new TempFolder()
          let script = script [ "data"; "--out"; folder.File "page.md" ]

          let failed: ExperimentResult =
              { Run =
                  { Variant = Variant.twoStages "none" (tiny NoNorm) quick
                    Seed = 1L
                    Key = "0"
                    Folder = { Path = "x" }
                    SharedStage1 = None
                    Work = []
                    Memory = 0L }
                Log = Error "the loss is NaN" }

          let page = { Script.page script "Title" "Question?" with Notes = [ "A note." ] }
          let text = messageOf<ExperimentException, _>(fun () -> Script.publish script page [ failed ])
          contains [ "failed: none, seed 1: the loss is NaN" ] text
          let written = File.ReadAllText(folder.File "page.md")
          contains [ "# Title"; "Question?"; "A note."; "same number of images"; script.Command ] written
          let teacher () = Script.teacher [ failed ]
          contains [ "the loss is NaN" ] (messageOf<ExperimentException, _>(teacher))
      } ]

let private small = { Budget.cifar with Epochs = 3; Batch = 16; LearningRate = 2e-3; Width = 0.25 }

/// Every variant has its own label, network and recipes, and every comparison names two variants.
let private isSound (variants: Variant list) comparisons =
    let labels = variants |> List.map _.Label
    Expect.equal (List.distinct labels) labels "labels"
    let contents = variants |> List.map (fun v -> v.Net, v.Stage1, v.Stage2)
    Expect.equal (List.distinct contents).Length contents.Length "contents"

    for one, other in comparisons do
        Expect.contains labels one "compared"
        Expect.contains labels other "compared"

let private variants =
    [ test "the recipe has the budget's epochs, batch and rate" {
          let recipe = Budget.recipe small
          Expect.equal (recipe.Epochs, recipe.Batch, recipe.LearningRate) (3, 16, 2e-3) "recipe"

          Expect.equal
              recipe
              { Recipe.corrected with Epochs = 3; Batch = 16; LearningRate = 2e-3; Schedule = Cosine }
              "all"
      }

      test "norms" {
          let variants = Norms.variants (Budget.reactNet18 small) (Budget.recipe small)
          isSound variants Norms.comparisons
          Expect.equal (variants |> List.map _.Label) [ "bn-free"; "batch-norm"; "none" ] "labels"
      }

      test "twins of all shortcut weights share the stages 1 of their norms" {
          let twins weights = Norms.twins weights (Budget.reactNet18 small) (Budget.recipe small)
          let oneBit, real = twins WeightBinariser.Binary, twins WeightBinariser.Real
          isSound oneBit [ "bn-free", "batch norm" ]

          Expect.equal
              [ for variant in oneBit -> Net.shortcutWeights variant.Net ]
              [ Some WeightBinariser.ZeroMean; Some WeightBinariser.Binary ]
              "deviation 16"

          let firsts = oneBit @ real |> List.map Variant.stage1 |> List.distinctBy (fun v -> v.Net, v.Stage1)

          Expect.equal firsts.Length 2 "stages 1: one of each norm"
      }

      test "the rival has its own rules, and the budget's epochs and batch" {
          let variants = Norms.rival small
          isSound variants [ variants.Head.Label, "ab-bnn" ]
          let theirs = variants[1]
          Expect.equal (theirs.Stage1.Epochs, theirs.Stage1.Batch) (small.Epochs, small.Batch) "budget"
          Expect.equal theirs.Stage1.WeightDecay 5e-6 "weight decay of stage 1"
          Expect.equal theirs.Stage2 (Some { theirs.Stage1 with WeightDecay = 0.0 }) "stage 2"
          Expect.equal theirs.Net (Net.asAbBnn (Budget.reactNet18 small)) "network"
      }

      test "the ablation changes one thing at a time" {
          let variants = Ablation.variants small
          isSound variants Ablation.comparisons
          Expect.equal variants.Length 11 "variants"
          Expect.equal variants.Head.Stage2 (Some(Budget.recipe small)) "the baseline is the corrected recipe"
      }

      test "deviations are corrected alone and all together" {
          let variants = DeviationStudy.variants small
          isSound variants DeviationStudy.comparisons
          let numbers = Deviation.all |> List.map _.Number

          for number in DeviationStudy.withoutEffect @ DeviationStudy.leftOutAlone do
              Expect.contains numbers number "a deviation"

          let expected =
              numbers.Length - DeviationStudy.withoutEffect.Length + DeviationStudy.leftOutAlone.Length + 4

          Expect.equal variants.Length expected "variants"
      }

      test "batch sizes scale the learning rate by √batch" {
          let variants = Norms.batchSizes small [ 4; 16; 64 ]
          isSound variants []
          let rates = variants |> List.map (fun v -> v.Stage1.Batch, v.Stage1.LearningRate) |> List.distinct
          Expect.equal rates [ 4, 1e-3; 16, 2e-3; 64, 4e-3 ] "rates"
      }

      test "variants train in parallel, each in a folder of its label, and are reported" {
          use parent = new TempFolder()
          let folder = parent.File "runs"
          Directory.CreateDirectory(Path.Combine(folder, "a")) |> ignore
          File.WriteAllText(Path.Combine(folder, "a", "run.json"), "left over")
          let images = Synthetic.dataset 3L 40 20
          let recipe = { quick with Epochs = 1 }
          let variant label norm = Variant.twoStages label (tiny norm) recipe

          let logs =
              [ variant "a" NoNorm; { variant "b" BatchNorm with Stage2 = None } ]
              |> VariantRuns.trainFromScratch folder images

          Expect.equal
              [ for log in logs -> log.Name, log.Stages.Length, log.Finished ]
              [ "a", 2, true; "b", 1, true ]
              "logs"

          VariantRuns.report folder "Title" (fun _ -> Error "not measured") logs

          for name in [ "report.html"; "report.md"; "report.png" ] do
              Expect.isTrue (File.Exists(Path.Combine(folder, name))) name
      } ]

let tests =
    testList "scripts" [ testList "parsing" parsing; testList "command lines" scripts; testList "variants" variants ]
