/// Runs with a checkpoint after every step.
module NormFree.Tests.Training.RunFolderSupport

open System.Diagnostics
open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

let data = lazy (Synthetic.dataset 3L 40 20)

let recipe = { quick with Batch = 10 }

/// A plan with a checkpoint after every step, and its events.
let plan folder keep =
    let events = ResizeArray()
    let plan = Pipeline.from data.Value |> Pipeline.into folder |> Pipeline.onEvent events.Add
    let policy = { Checkpoints = keep; Every = System.TimeSpan.Zero }
    { plan with Options = { plan.Options with CheckpointPolicy = policy } }, events

let train plan = plan |> Pipeline.train recipe (tiny NoNorm) |> useTrained _.History

let warnings (events: TrainingEvent seq) =
    events
    |> Seq.choose (function
        | Warning text -> Some text
        | _ -> None)
    |> Seq.toList

let names folder = Directory.GetFileSystemEntries folder |> Array.map (Path.GetFileName >> string) |> Set

/// A finished run of stage 1.
let finished (folder: TempFolder) keep =
    train (fst (plan folder.Path keep)) |> ignore
    RunFolder.at folder.Path

let run program arguments =
    use started = Process.Start(program, (arguments: string list))
    started.WaitForExit()
    started.ExitCode
