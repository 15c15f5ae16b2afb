namespace NormFree.Experiments

open System
open System.Collections.Generic
open System.Diagnostics
open NormFree.Networks
open NormFree.Runs
open NormFree.Training

/// <summary>How far a sweep is, from what its runs tell. Safe from any thread.</summary>
[<Sealed>]
type internal SweepClock(runs: ExperimentRun list) =

    let interval = TimeSpan.FromSeconds 30.0
    let gate = obj ()
    let clock = Stopwatch.StartNew()
    let total = runs |> List.sumBy (fun run -> List.sumBy snd run.Work)
    let finished = Dictionary<string, float>()
    let mutable gained = 0.0
    let mutable next = interval

    /// Work up to so large a share of a stage.
    let upTo (run: ExperimentRun) stage share =
        let before = run.Work |> List.takeWhile (fun (name, _) -> name <> stage) |> List.sumBy snd
        let within = run.Work |> List.tryFind (fun (name, _) -> name = stage) |> Option.map snd
        before + share * Option.defaultValue 0.0 within

    /// What was done before the sweep began is no measure of its speed.
    let reach (run: ExperimentRun) work isNew =
        if isNew then
            let before =
                match finished.TryGetValue run.Key with
                | true, before -> before
                | _ -> 0.0

            gained <- gained + work - before

        finished[run.Key] <- work

    let left () =
        if clock.Elapsed < next || gained <= 0.0 then
            None
        else
            next <- clock.Elapsed + interval
            let open' = total - Seq.sum finished.Values
            Some(TimeSpan.FromSeconds(clock.Elapsed.TotalSeconds * open' / gained))

    /// <summary>Notes what a run tells; now and then the time that is left.</summary>
    member _.Note(run: ExperimentRun, event: TrainingEvent) : TimeSpan option =
        lock gate (fun () ->
            match event with
            | Resumed(stage, epochs, _) ->
                let all = Variant.stages run.Variant |> List.find (fun (net, _) -> Stage.name net = stage)
                reach run (upTo run stage (float epochs / float (snd all).Epochs)) false
                None
            | StepDone step ->
                let images = float ((step.Epoch - 1) * step.Total + step.Images)
                reach run (upTo run step.Stage (images / float (step.Epochs * step.Total))) true
                left ()
            | _ -> None)

    /// <summary>Notes that a run has ended, one way or the other: nothing of it is left.</summary>
    member _.End(run: ExperimentRun) = lock gate (fun () -> reach run (List.sumBy snd run.Work) false)
