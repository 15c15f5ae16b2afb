namespace NormFree.Benchmarks

open System
open System.Collections.Generic
open System.Diagnostics
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Platform
open NormFree.Torch.Profiling
open NormFree.Torch.Training
open NormFree.Training
open TorchSharp

/// <summary>Measures training steps.</summary>
/// <example><code>
/// let result = Bench.train { BenchJob.Default ReActNet.cifar18 with Steps = 5 }
/// printfn $"{result.ImagesPerSecond.Median:F0} images/s"
/// </code></example>
[<RequireQualifiedAccess>]
module Bench =

    let private milliseconds start = Stopwatch.GetElapsedTime(start).TotalMilliseconds

    /// An action's result and its duration in milliseconds.
    let private timed (action: unit -> 'a) =
        let start = Stopwatch.GetTimestamp()
        let result = action ()
        result, milliseconds start

    /// The problem of a batch of square images that does not fit into memory. The images exist twice while they are made.
    let internal memoryProblem batch image =
        let needed = 2.0 * 4.0 * 3.0 * float batch * float image * float image
        let available = float (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)

        if needed > available then
            Some
                $"{batch} images of {image}×{image} need {needed / 1e9:F1} GB of memory, and there are {available / 1e9:F1} GB: \
                  measure fewer or smaller images"
        else
            None

    let private check (job: BenchJob) =
        let problems result =
            match result with
            | Ok _ -> []
            | Error problems -> problems |> List.map string

        let found =
            [ yield! problems (Recipe.validate job.Recipe)
              yield! Option.toList (memoryProblem job.Recipe.Batch job.Image)
              yield! problems (Validation.fits job.Image job.Image job.Net)
              if job.Steps < 1 then
                  yield $"at least 1 step must be measured, not {job.Steps}"
              if job.Accumulate < 1 then
                  yield $"the number of accumulated parts must be at least 1, it is {job.Accumulate}"
              if job.WarmUp < 0 then
                  yield $"the warm-up cannot be negative, it is {job.WarmUp} steps" ]

        if not found.IsEmpty then
            raise (TrainingException(String.concat "\n" found))

    /// One batch of noise: for a network, it is the same work as decoded photographs.
    let private noise (job: BenchJob) : Dataset =
        let random = Random 1

        let image label =
            let image = Image.blank job.Image job.Image
            random.NextBytes image.Pixels
            image, label % job.Net.Classes

        let source = ImageSource.ofImages "noise" (Array.init job.Recipe.Batch image)

        { Name = "noise"
          Classes = Array.init job.Net.Classes string
          Train = source
          Test = source
          Normalisation = Normalisation.imageNet
          Size = job.Image
          Augmentation = Augmentation.cifar
          Notes = [] }

    /// This rank's share of all batches, prefetched by the loader's threads as in training.
    let private batches (job: BenchJob) : seq<Batch> =
        let dataset, batch = noise job, job.Recipe.Batch
        let workers = RunOptions.Default.Workers

        let options =
            { Loader.training dataset batch with
                Workers = workers
                Prefetch = workers + 2
                Cancellation = job.Cancellation }

        Array.init ((job.WarmUp + job.Steps) * batch) (fun i -> i % batch)
        |> Loader.readShard (Collectives.shard job.Ranks) options dataset.Train

    type private Work =
        { Network: Network; Step: TrainingStep; Optimisation: Optimisation; Batches: IEnumerator<Batch> }

    /// One training step, timed by phase.
    let private phases (job: BenchJob) (work: Work) =
        use _ = torch.NewDisposeScope()

        let (images, labels), data =
            timed (fun () ->
                work.Batches.MoveNext() |> ignore
                Evaluation.tensors work.Network work.Batches.Current)

        let found = work.Step.Gradients(images, labels, 0, [])

        let (), clip =
            timed (fun () ->
                FiniteChecks.gradient work.Optimisation |> ignore
                work.Step.Clip())

        let centering, step = timed (fun () -> work.Step.Update job.Recipe.LearningRate)

        { Data = data
          Forward = found.Forward
          Backward = found.Backward
          Exchange = found.Waited + centering.ExposedMs
          Clip = clip
          Step = step - centering.ExposedMs },
        found.Communication + centering

    let private step (job: BenchJob) work =
        job.Cancellation.ThrowIfCancellationRequested()
        let (phases, exchange), total = timed (fun () -> phases job work)

        { Phases = phases; Total = total; Exchange = exchange; Layers = List.ofSeq (LayerClock.Take()) }

    /// The engine, the exchange, and the times of all steps after the warm-up.
    let private steps (job: BenchJob) =
        use network =
            Network.create
                torch.ScalarType.Float32
                job.Recipe.Deviations.BinaryInit
                job.Recipe.Seed
                (Recipe.applyTo job.Net job.Recipe)
            |> Network.running job.Execution

        use optimisation = new Optimisation(job.Recipe, network)

        use training =
            new TrainingStep(
                job.Ranks,
                job.Accumulate,
                job.Recipe,
                network,
                optimisation,
                (fun _ logits labels -> Losses.CrossEntropy(logits, labels))
            )

        use batches = (batches job).GetEnumerator()
        let work = { Network = network; Step = training; Optimisation = optimisation; Batches = batches }

        let link = if job.Ranks.Size = 1 then None else Some(NetworkLink.measure job.Ranks)

        let times =
            [ for number in 1 .. job.WarmUp + job.Steps do
                  let times = step job work
                  job.Progress number
                  times ]

        let times = List.skip job.WarmUp times
        network.Execution, link |> Option.map (fun link -> Medians.exchange training.Messages link times), times

    let private measure (job: BenchJob) =
        if job.Profile then
            LayerClock.Start()

        try
            steps job
        finally
            LayerClock.Stop()

    /// <summary>Measures training steps on a batch of noise. Everything else is as in training.</summary>
    /// <remarks>
    /// Uses torch's number of threads (<c>torch.set_num_threads</c>). Throws TrainingException with all problems of an invalid job, and
    /// OperationCanceledException if its token is cancelled.
    /// </remarks>
    let train (job: BenchJob) : BenchResult =
        check job
        MemoryReuse.Enable()
        let environment = BenchEnvironment.Now()
        let execution, exchange, steps = measure job
        let body = Net.tryBinary job.Net

        { Engine = execution.Engine
          Precision = execution.Precision
          Arch = job.Net.Name
          Norm = body |> Option.map (_.Norm >> Names.norm)
          Binarise = body |> Option.map (_.Binarise >> Names.binarise)
          SignCentering = Recipe.centersSigns job.Recipe job.Net
          Classes = job.Net.Classes
          Batch = job.Recipe.Batch
          Ranks = job.Ranks.Size
          Accumulate = job.Accumulate
          Image = job.Image
          Threads = torch.get_num_threads ()
          WarmUp = job.WarmUp
          Steps = job.Steps
          ImagesPerSecond = Medians.speed job.Recipe.Batch steps
          PeakMemoryMb = Medians.round (Machine.peakMemory ())
          PhaseMs = Medians.phases steps
          Exchange = exchange
          Scaling = None
          Environment = environment
          Profile = if job.Profile then Some(Medians.layers steps) else None }
