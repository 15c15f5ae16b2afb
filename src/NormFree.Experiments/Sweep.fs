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
open NormFree.Spec
open NormFree.Training
open NormFree.Torch.Native
open TorchSharp

/// <summary>Trains all runs of an experiment, as many in parallel as processors and memory allow. Each uses one torch thread, which is the
/// fastest way to train small networks.</summary>
/// <remarks>
/// A run's folder is <c>Root/experiment/label-key</c>. The key identifies what is trained. A finished run with the same key is read, whatever its
/// label and experiment. An interrupted run is resumed. A run that another process is training is awaited.
/// </remarks>
/// <example><code>
/// { Name = "norms"; Images = images; Seeds = [ 1L; 2L ]; Execution = Execution.Default; Device = Cpu
///   Variants = [ for norm in [ BatchNorm; BnFree 0.2 ] -> Variant.twoStages (Names.norm norm) (Net.withNorm norm net) recipe ] }
/// |> Sweep.run SweepSettings.Default
/// </code></example>
[<RequireQualifiedAccess>]
module Sweep =

    let private fileName label = Regex.Replace(label, @"[^\p{L}\p{Nd}.+-]+", "-").Trim('-')

    let private isFinished folder = RunFolder.holdsRun folder && (RunFolder.readDescription folder).Finished

    /// An existing folder of a run with this key, of any experiment; a finished one if possible.
    let private existing root key : RunFolder option =
        if Directory.Exists root then
            let found =
                [ for experiment in Directory.GetDirectories root do
                      for path in Directory.GetDirectories(experiment, $"*-{key}") -> { Path = path } ]
                |> List.sortBy _.Path

            found |> List.tryFind isFinished |> Option.orElse (List.tryHead found)
        else
            None

    let private folder root experiment label key : RunFolder =
        existing root key
        |> Option.defaultValue { Path = Path.Combine(root, fileName experiment, $"{fileName label}-{key}") }

    let private finishedLog (run: ExperimentRun) : RunLog option =
        if isFinished run.Folder then Some(RunFolder.readRun run.Folder) else None

    /// <summary>An experiment's runs with their folders, work and memory. Trains nothing.</summary>
    /// <remarks>Throws InvalidFileException or IOException if a teacher cannot be read.</remarks>
    let runs (root: string) (experiment: Experiment) : ExperimentRun list =
        let key = RunKey.forImages experiment.Images experiment.Execution experiment.Device

        let folderOf seed (variant: Variant) = folder root experiment.Name $"{variant.Label}-seed-{seed}" (key variant)

        [ for seed in experiment.Seeds do
              for variant in experiment.Variants do
                  let variant = Variant.seeded seed variant
                  let stages, key = Variant.stages variant, key variant

                  { Variant = variant
                    Seed = seed
                    Key = key
                    Folder = folderOf seed variant
                    SharedStage1 =
                      if experiment.ShareStage1 && variant.Stage2.IsSome then
                          Some(folderOf seed (Variant.stage1 variant))
                      else
                          None
                    Work =
                      [ for net, recipe in stages -> Names.stageOf net, RunEstimate.work experiment.Images (net, recipe) ]
                    Memory = stages |> List.map (RunEstimate.memory experiment.Images.Size) |> List.max } ]

    /// Images that are decoded to estimate the size of all.
    let private probes = 16

    /// Bytes of all images, estimated from the largest of a few.
    let private imageBytes (source: ImageSource) =
        let few = min probes source.Count

        let sizes =
            [ for i in 0 .. few - 1 do
                  match source.Load(int (int64 i * int64 source.Count / int64 few)) with
                  | Ok image -> int64 image.Pixels.Length
                  | Error _ -> () ]

        if sizes.IsEmpty then 0L else List.max sizes * int64 source.Count

    /// The data set with its decoded images cached for all runs, in at most half of the memory, and the remaining memory.
    let private inMemory memory (dataset: Dataset) =
        let cache source = min (memory / 4L) (imageBytes source)
        let train, test = cache dataset.Train, cache dataset.Test

        { dataset with
            Train = ImageSource.cached train dataset.Train
            Test = ImageSource.cached test dataset.Test },
        memory - train - test

    let private train (settings: SweepSettings) (experiment: Experiment) onEvent (run: ExperimentRun) : RunLog =
        let plan =
            { Pipeline.from experiment.Images with
                Folder = Some run.Folder
                Label = run.Label
                Options =
                    { RunOptions.Default with
                        Execution = experiment.Execution
                        Device = experiment.Device
                        Workers = 1
                        OnEvent = onEvent
                        Cancellation = settings.Cancellation } }

        let variant = run.Variant

        match variant.Stage2, run.SharedStage1 with
        | None, _ -> plan |> Pipeline.train variant.Stage1 variant.Net |> Pipeline.finish
        | Some recipe, None ->
            plan
            |> Pipeline.train variant.Stage1 variant.Net
            |> Pipeline.binariseWeights recipe
            |> Pipeline.finish
        | Some recipe, Some stage1 ->
            plan |> Pipeline.binariseFrom (stage1.Last 1) recipe variant.Net |> Pipeline.finish

    /// libtorch appends its stack trace to its messages.
    let private reason (error: exn) =
        match error with
        | :? TrainingException
        | :? DataException
        | :? InvalidFileException
        | :? IOException
        | :? UnauthorizedAccessException -> error.Message
        | other -> $"{other.GetType().Name}: {Array.head (other.Message.Split '\n')}"

    let private start (settings: SweepSettings) experiment onEvent (run: ExperimentRun) =
        settings.OnEvent(RunStarted(run.Label, run.Folder.Path))
        train settings experiment onEvent run

    /// The run with its current folder: another experiment may have created it in the meantime.
    let private located (settings: SweepSettings) (run: ExperimentRun) =
        { run with Folder = existing settings.Root run.Key |> Option.defaultValue run.Folder }

    /// Trains or reads a run under its lock. None if another process holds the lock.
    let private attempt
        (settings: SweepSettings)
        experiment
        onEvent
        (run: ExperimentRun)
        : Result<RunLog, string> option =
        try
            Directory.CreateDirectory settings.Root |> ignore

            // The lock belongs to the key, not to the folder: another experiment may contain the same run.
            let path = Path.Combine(settings.Root, $"{run.Key}.lock")

            match FileLock.TryTake(path, $"process {Environment.ProcessId}") with
            | null, _ -> None
            | lock, _ ->
                use _ = lock
                // Another process may have started or finished it since the sweep read the folders.
                let run = located settings run

                finishedLog run
                |> Option.defaultWith (fun () -> start settings experiment onEvent run)
                |> Ok
                |> Some
        with
        | :? OperationCanceledException when settings.Cancellation.IsCancellationRequested -> reraise ()
        | error -> Some(Error(reason error))

    let private report (settings: SweepSettings) (run: ExperimentRun) log =
        match log with
        | Ok log -> settings.OnEvent(RunFinished(run.Label, log))
        | Error reason -> settings.OnEvent(RunFailed(run.Label, reason))

    /// Processes a run from the queue; postpones it if another process holds it.
    let private doOne
        (settings: SweepSettings)
        experiment
        (clock: SweepClock)
        (queue: RunQueue)
        keep
        (run: ExperimentRun)
        =
        let onEvent event =
            settings.OnEvent(RunReported(run.Label, event))
            clock.Note(run, event) |> Option.iter (TimeLeft >> settings.OnEvent)

        match attempt settings experiment onEvent run with
        | None ->
            if queue.Postpone run then
                settings.OnEvent(RunLocked run.Label)
        | Some log ->
            clock.End run
            keep (run.Key, log)
            report settings run log
            queue.Done run

    /// Processes runs from the queue until it is empty.
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

    /// Uses dedicated threads, because torch keeps settings per thread; restores the process's number of torch threads.
    let private onThreads count (action: unit -> unit) =
        TorchNative.Ensure()
        let before = torch.get_num_threads ()

        try
            let threads = [ for i in 1..count -> Thread(action, IsBackground = true, Name = $"nf-sweep-{i}") ]
            threads |> List.iter _.Start()
            threads |> List.iter _.Join()
        finally
            torch.set_num_threads before

    /// A finished run's log. An unreadable run fails later, when the queue reaches it.
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
        let count = min settings.MaxParallel unfinished.Length
        onThreads count (fun () -> work settings queue (doOne settings experiment clock queue results.Add))
        settings.Cancellation.ThrowIfCancellationRequested()
        List.ofSeq results

    let private runIn (settings: SweepSettings) memory (experiment: Experiment) : ExperimentResult list =
        let all = runs settings.Root experiment
        let different = all |> List.distinctBy _.Key
        let finished = different |> List.choose readFinished
        let unfinished = different |> List.filter (fun run -> finished |> List.forall (fst >> (<>) run.Key))

        settings.OnEvent(
            SweepStarted(experiment.Name, different.Length, finished.Length, min settings.MaxParallel unfinished.Length)
        )

        let logs = Map(finished @ trainAll settings experiment memory unfinished)

        [ for run in all ->
              { Run = located settings run
                Log = logs[run.Key] |> Result.map (fun log -> { log with Label = run.Label }) } ]

    /// <summary>Trains or reads every run. Results are ordered by seed, then by variant.</summary>
    /// <remarks>
    /// A failed run does not stop the others; its result is the reason. Variants that differ only in their labels are trained once. Throws
    /// OperationCanceledException if the settings' token is cancelled; the next sweep resumes unfinished runs. Also throws the exceptions of
    /// <c>runs</c>.
    /// </remarks>
    let run (settings: SweepSettings) (experiment: Experiment) : ExperimentResult list =
        let images, memory = inMemory settings.Memory experiment.Images
        let experiment = { experiment with Images = images }

        if experiment.ShareStage1 then
            let firsts =
                experiment.Variants |> List.map Variant.stage1 |> List.distinctBy (fun v -> v.Net, v.Stage1)

            runIn settings memory { experiment with Variants = firsts; ShareStage1 = false } |> ignore

        runIn settings memory experiment
