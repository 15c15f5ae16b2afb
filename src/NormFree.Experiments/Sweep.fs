namespace NormFree.Experiments

open System
open System.Collections.Concurrent
open System.IO
open System.Text.RegularExpressions
open System.Threading
open NormFree.Data
open NormFree.Formats
open NormFree.Networks
open NormFree.Runs
open NormFree.Training
open TorchSharp

/// <summary>Trains all of an experiment's runs, as many side by side as there are processors and memory for, each with one torch thread: small
/// networks are trained fastest that way.</summary>
/// <remarks>
/// A run is kept in <c>Root/experiment/label-key</c>. The key tells what was trained, so a run that is finished is read, whatever it was called
/// and whichever experiment it belonged to; one that was interrupted goes on; one that another process trains is waited for.
/// </remarks>
/// <example><code>
/// { Name = "norms"; Images = images; Seeds = [ 1L; 2L ]; Execution = Execution.Default; Device = Cpu
///   Variants = [ for norm in [ BatchNorm; BnFree 0.2 ] -> Variant.twoStages (Names.norm norm) (Net.withNorm norm net) recipe ] }
/// |> Sweep.run SweepSettings.Default
/// </code></example>
[<RequireQualifiedAccess>]
module Sweep =

    /// A folder's name for a label.
    let private fileName label = Regex.Replace(label, @"[^\p{L}\p{Nd}.+-]+", "-").Trim('-')

    let private isFinished folder = RunFolder.holdsRun folder && (RunFolder.readDescription folder).Finished

    /// Where a run of that key was kept before, by whichever experiment: the finished one, if there is one.
    let private kept root key : RunFolder option =
        if Directory.Exists root then
            let found =
                [ for experiment in Directory.GetDirectories root do
                      for path in Directory.GetDirectories(experiment, $"*-{key}") -> { Path = path } ]
                |> List.sortBy _.Path

            found |> List.tryFind isFinished |> Option.orElse (List.tryHead found)
        else
            None

    /// Where a run is kept, or was kept before.
    let private folder root experiment label key : RunFolder =
        kept root key
        |> Option.defaultValue { Path = Path.Combine(root, fileName experiment, $"{fileName label}-{key}") }

    let private finishedLog (run: ExperimentRun) : RunLog option =
        if isFinished run.Folder then Some(RunFolder.readRun run.Folder) else None

    /// <summary>The runs of an experiment, as they would be trained: where they are kept and what they take.</summary>
    /// <remarks>Throws InvalidFileException or IOException where a teacher cannot be read.</remarks>
    let runs (root: string) (experiment: Experiment) : ExperimentRun list =
        let key = RunKey.forImages experiment.Images experiment.Execution experiment.Device

        [ for seed in experiment.Seeds do
              for variant in experiment.Variants do
                  let variant = Variant.seeded seed variant
                  let stages, key = Variant.stages variant, key variant

                  { Variant = variant
                    Seed = seed
                    Key = key
                    Folder = folder root experiment.Name $"{variant.Label}-seed-{seed}" key
                    Work =
                      [ for net, recipe in stages -> Stage.name net, RunEstimate.work experiment.Images (net, recipe) ]
                    Memory = stages |> List.map (RunEstimate.memory experiment.Images.Size) |> List.max } ]

    /// Images that are looked at to guess the size of all.
    let private probes = 16

    /// Bytes of all images, if none is larger than the largest of a few.
    let private imageBytes (source: ImageSource) =
        let few = min probes source.Count

        let sizes =
            [ for i in 0 .. few - 1 do
                  match source.Load(int (int64 i * int64 source.Count / int64 few)) with
                  | Ok image -> int64 image.Pixels.Length
                  | Error _ -> () ]

        if sizes.IsEmpty then 0L else List.max sizes * int64 source.Count

    /// The data set with its images decoded once for all runs, in at most half of the memory, and the memory that this leaves.
    let private inMemory memory (dataset: Dataset) =
        let share source = min (memory / 4L) (imageBytes source)
        let train, test = share dataset.Train, share dataset.Test

        { dataset with
            Train = ImageSource.remembering train dataset.Train
            Test = ImageSource.remembering test dataset.Test },
        memory - train - test

    let private train (settings: SweepSettings) (experiment: Experiment) watch (run: ExperimentRun) : RunLog =
        let plan =
            { Pipeline.from experiment.Images with
                Folder = Some run.Folder
                Label = run.Label
                Options =
                    { RunOptions.Default with
                        Execution = experiment.Execution
                        Device = experiment.Device
                        Workers = 1
                        Watch = watch
                        Cancellation = settings.Cancellation } }

        let first = plan |> Pipeline.train run.Variant.First run.Variant.Net

        match run.Variant.Second with
        | None -> Pipeline.finish first
        | Some recipe -> first |> Pipeline.binariseWeights recipe |> Pipeline.finish

    /// libtorch's messages go on with its stack.
    let private reason (error: exn) =
        match error with
        | :? TrainingException
        | :? DataException
        | :? InvalidFileException
        | :? IOException
        | :? UnauthorizedAccessException -> error.Message
        | other -> $"{other.GetType().Name}: {Array.head (other.Message.Split '\n')}"

    let private begin' (settings: SweepSettings) experiment watch (run: ExperimentRun) =
        settings.Watch(RunBegins(run.Label, run.Folder.Path))
        train settings experiment watch run

    /// The run with the folder that it is kept in by now.
    let private where (settings: SweepSettings) (run: ExperimentRun) =
        { run with Folder = kept settings.Root run.Key |> Option.defaultValue run.Folder }

    /// What became of a run that this process alone works on; nothing where another one does.
    let private attempt
        (settings: SweepSettings)
        experiment
        watch
        (run: ExperimentRun)
        : Result<RunLog, string> option =
        try
            Directory.CreateDirectory settings.Root |> ignore

            // Of the key, not of the folder: another experiment may have the same run.
            let path = Path.Combine(settings.Root, $"{run.Key}.lock")

            match FileLock.TryTake(path, $"process {Environment.ProcessId}") with
            | null, _ -> None
            | lock, _ ->
                use _ = lock
                // It may have been begun or finished since it was looked at.
                let run = where settings run
                finishedLog run |> Option.defaultWith (fun () -> begin' settings experiment watch run) |> Ok |> Some
        with
        | :? OperationCanceledException when settings.Cancellation.IsCancellationRequested -> reraise ()
        | error -> Some(Error(reason error))

    let private tell (settings: SweepSettings) (run: ExperimentRun) log =
        match log with
        | Ok log -> settings.Watch(RunEnds(run.Label, log))
        | Error reason -> settings.Watch(RunFails(run.Label, reason))

    /// Does a run that was taken from the queue, unless another process is at it.
    let private doOne
        (settings: SweepSettings)
        experiment
        (clock: SweepClock)
        (queue: RunQueue)
        keep
        (run: ExperimentRun)
        =
        let watch event =
            settings.Watch(RunTells(run.Label, event))
            clock.Note(run, event) |> Option.iter (TimeLeft >> settings.Watch)

        match attempt settings experiment watch run with
        | None ->
            if queue.PutOff run then
                settings.Watch(RunElsewhere run.Label)
        | Some log ->
            clock.End run
            keep (run.Key, log)
            tell settings run log
            queue.Done run

    /// Takes runs from the queue until there are none.
    let private work (settings: SweepSettings) (queue: RunQueue) doOne =
        torch.set_num_threads 1

        let rec next () =
            match queue.Take() with
            | Some run ->
                doOne run
                next ()
            | None -> ()

        try
            next ()
        with :? OperationCanceledException when settings.Cancellation.IsCancellationRequested ->
            ()

    /// Threads of their own, since torch keeps its settings for each; the process's number of torch threads is as before in the end.
    let private onThreads count (action: unit -> unit) =
        let before = torch.get_num_threads ()

        try
            let threads = [ for i in 1..count -> Thread(action, IsBackground = true, Name = $"nf-sweep-{i}") ]
            threads |> List.iter _.Start()
            threads |> List.iter _.Join()
        finally
            torch.set_num_threads before

    /// What is finished already; what cannot be read is found out again, and told, when its turn comes.
    let private readFinished (run: ExperimentRun) =
        try
            finishedLog run |> Option.map (fun log -> run.Key, Ok log)
        with
        | :? InvalidFileException
        | :? IOException
        | :? UnauthorizedAccessException -> None

    let private trainAll (settings: SweepSettings) experiment memory (unfinished: ExperimentRun list) =
        let results = ConcurrentBag<string * Result<RunLog, string>>()
        let clock, queue = SweepClock unfinished, RunQueue(memory, unfinished, settings.Cancellation)
        let count = min settings.SideBySide unfinished.Length
        onThreads count (fun () -> work settings queue (doOne settings experiment clock queue results.Add))
        settings.Cancellation.ThrowIfCancellationRequested()
        List.ofSeq results

    /// <summary>What became of every run, in the order of the seeds and then of the variants.</summary>
    /// <remarks>
    /// A run that fails does not end the others; its result is the reason. Variants that differ in nothing but their labels are trained once.
    /// Throws OperationCanceledException where the settings' token was cancelled: what is not finished goes on from there when the sweep is run
    /// again. Throws as <c>runs</c> does, too.
    /// </remarks>
    let run (settings: SweepSettings) (experiment: Experiment) : ExperimentResult list =
        let images, memory = inMemory settings.Memory experiment.Images
        let experiment = { experiment with Images = images }
        let all = runs settings.Root experiment
        let different = all |> List.distinctBy _.Key
        let finished = different |> List.choose readFinished
        let unfinished = different |> List.filter (fun run -> finished |> List.forall (fst >> (<>) run.Key))

        settings.Watch(
            SweepBegins(experiment.Name, different.Length, finished.Length, min settings.SideBySide unfinished.Length)
        )

        let logs = Map(finished @ trainAll settings experiment memory unfinished)

        [ for run in all ->
              { Run = where settings run
                Log = logs[run.Key] |> Result.map (fun log -> { log with Label = run.Label }) } ]
