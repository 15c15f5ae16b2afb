/// The F# blocks of the documentation, which must compile. DocsTests compares each block with this file, without white space.
module NormFree.Tests.Repository.DocsSnippets

open NormFree.Benchmarks
open NormFree.Data
open NormFree.Experiments
open NormFree.Reporting
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

module private Reports =
    let page () =
        ReportedRun.ofFolders (RunDeployment.measuring MeasureSpeed) [ { Path = "runs/a" }; { Path = "runs/b" } ]
        |> Report.write "comparison.html" "Two networks"

module private OwnNetwork =
    /// ReActNet-18 at half width for CIFAR-10, without any norm.
    let narrow =
        ReActNet.reactNet18 { Width = 0.5; Depth = 1.0 } CifarStem
        |> Net.withClasses 10
        |> Net.withNorm NoNorm

    let operations net =
        match Summary.create 32 32 net with
        | Ok summary -> Ok summary.Total.Ops
        | Error errors -> Error(List.map string errors)

module private Samples =
    let sampled images =
        let plan = Pipeline.from images |> Pipeline.into "runs/a" |> Pipeline.telemetry (EverySteps 10) // or Never
        let seen = Telemetry.read (RunFolder.at "runs/a") // seen.Layers, seen.Channels
        plan, seen

/// Stands for F# Interactive's <c>fsi</c> in scripts.
type private Fsi = { CommandLineArgs: string[] }

module private Experiment =
    let private fsi = { CommandLineArgs = [||] }

    let run () =
        Script.run fsi.CommandLineArgs Budget.cifar (fun script -> // DATA --epochs N --seeds N …
            let recipe = Budget.recipe script.Budget
            let net = Budget.reactNet18 script.Budget

            [ for norm in [ BnFree 0.2; BatchNorm ] ->
                  Variant.twoStages (Names.norm norm) (Net.withNorm norm net) recipe ]
            |> Script.sweep script "norms" (Script.images Cifar10 script)
            |> Script.publish
                script
                { Script.page script "Two norms" "Which norm is better?" with
                    Comparisons = [ "bn-free", "batch-norm" ] })
