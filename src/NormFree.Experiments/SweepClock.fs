namespace NormFree.Experiments

open System
open System.Collections.Generic
open System.Diagnostics
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// <summary>Estimates a sweep's remaining time from its runs' events. Thread-safe.</summary>
[<Sealed>]
type internal SweepClock(runs: ExperimentRun list) =

    let interval = TimeSpan.FromSeconds 30.0
    let gate = obj ()
    let clock = Stopwatch.StartNew()
    let total = runs |> List.sumBy (fun run -> List.sumBy snd run.Work)
    let finished = Dictionary<string, float>()
    /// Work done since the sweep started.
    let mutable gained = 0.0
    let mutable next = interval

    /// A run's work up to this fraction of a stage.
    let upTo (run: ExperimentRun) stage share =
        let before = run.Work |> List.takeWhile (fun (name, _) -> name <> stage) |> List.sumBy snd
        let within = run.Work |> List.tryFind (fun (name, _) -> name = stage) |> Option.map snd
        before + share * Option.defaultValue 0.0 within

    /// Work that an earlier sweep did is not counted as gained: it says nothing about the speed.
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

    /// <summary>Records an event. Returns the remaining time at most every 30 seconds.</summary>
    member _.Note(run: ExperimentRun, event: TrainingEvent) : TimeSpan option =
        lock gate (fun () ->
            match event with
            | Resumed(stage, epochs, _) ->
                let all = Variant.stages run.Variant |> List.find (fun (net, _) -> Names.stageOf net = stage)
                reach run (upTo run stage (float epochs / float (snd all).Epochs)) false
                None
            | StepDone step ->
                let images = float ((step.Epoch - 1) * step.Total + step.Images)
                reach run (upTo run step.Stage (images / float (step.Epochs * step.Total))) true
                left ()
            | _ -> None)

    /// <summary>Records that a run has finished or failed.</summary>
    member _.End(run: ExperimentRun) = lock gate (fun () -> reach run (List.sumBy snd run.Work) false)
