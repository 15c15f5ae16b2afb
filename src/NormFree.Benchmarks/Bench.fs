namespace NormFree.Benchmarks

open System
open System.Collections.Generic
open System.Diagnostics
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Native
open NormFree.Torch.Profiling
open NormFree.Torch.Training
open NormFree.Training
open TorchSharp

/// <summary>Measures the work that NormFree does.</summary>
/// <example><code>
/// let result = Bench.train { BenchJob.Default ReActNet.cifar18 with Steps = 5 }
/// printfn $"{result.ImagesPerSecond.Median:F0} images/s"
/// </code></example>
[<RequireQualifiedAccess>]
module Bench =

    let private milliseconds start = Stopwatch.GetElapsedTime(start).TotalMilliseconds

    /// What an action gives, and how many milliseconds it took.
    let private timed (action: unit -> 'a) =
        let start = Stopwatch.GetTimestamp()
        let result = action ()
        result, milliseconds start

    let private check (job: BenchJob) =
        let problems result =
            match result with
            | Ok _ -> []
            | Error problems -> problems |> List.map string

        let found =
            [ yield! problems (Recipe.validate job.Recipe)
              yield! problems (Validation.fits job.Image job.Image job.Net)
              if job.Steps < 1 then
                  yield $"there must be at least 1 step to measure, there are {job.Steps}"
              if job.Accumulate < 1 then
                  yield $"a batch is computed in at least 1 part, not {job.Accumulate}"
              if job.WarmUp < 0 then
                  yield $"the warm-up cannot be negative, it is {job.WarmUp} steps" ]

        if not found.IsEmpty then
            raise (TrainingException(String.concat "\n" found))

    /// A batch of noise, always the same: to a network it is as much work as photographs are once they are decoded.
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
          Augmentation = Augmentation.cifar }

    /// This rank's part of the batches of all steps, read ahead by the loader's threads as in a training.
    let private batches (job: BenchJob) : seq<Batch> =
        let dataset, batch = noise job, job.Recipe.Batch
        let workers = RunOptions.Default.Workers

        let options =
            { Loader.training dataset batch with
                Workers = workers
                Prefetch = workers + 2
                Cancellation = job.Cancellation }

        Array.init ((job.WarmUp + job.Steps) * batch) (fun i -> i % batch)
        |> Loader.readShare (Collectives.share job.Ranks) options dataset.Train

    /// A network at work.
    type private Work =
        { Network: Network; Step: TrainingStep; Optimisation: Optimisation; Batches: IEnumerator<Batch> }

    /// What a training does with a batch, phase by phase.
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

        let balance, step = timed (fun () -> work.Step.Update job.Recipe.LearningRate)

        { Data = data
          Forward = found.Forward
          Backward = found.Backward
          Exchange = found.Waited + balance.ExposedMs
          Clip = clip
          Step = step - balance.ExposedMs },
        found.Communication + balance

    let private step (job: BenchJob) work =
        job.Cancellation.ThrowIfCancellationRequested()
        let (phases, exchange), total = timed (fun () -> phases job work)

        { Phases = phases; Total = total; Exchange = exchange; Layers = List.ofSeq (LayerClock.Take()) }

    /// All steps; those of the warm-up are left out.
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

        let wire = if job.Ranks.Size = 1 then None else Some(NetworkLink.measure job.Ranks)

        let times =
            [ for number in 1 .. job.WarmUp + job.Steps do
                  let times = step job work
                  job.Progress number
                  times ]

        let times = List.skip job.WarmUp times
        network.Execution, wire |> Option.map (fun wire -> Medians.exchange training.Messages wire times), times

    /// The steps' times, with the layers' where the job asks for them.
    let private measure (job: BenchJob) =
        if job.Profile then
            LayerClock.Start()

        try
            steps job
        finally
            LayerClock.Stop()

    /// <summary>Measures training steps on a synthetic batch: images are noise, and everything else is as in a training.</summary>
    /// <remarks>
    /// Threads are torch's (<c>torch.set_num_threads</c>). Throws TrainingException where the job makes no sense, with everything that is wrong
    /// with it; OperationCanceledException where its token was cancelled.
    /// </remarks>
    let train (job: BenchJob) : BenchResult =
        check job
        MemoryReuse.Enable()
        let environment = BenchEnvironment.Now()
        let execution, exchange, steps = measure job
        let body = Net.binaryBody job.Net

        { Engine = execution.Engine
          Precision = execution.Precision
          Arch = job.Net.Name
          Norm = body |> Option.map (_.Norm >> Names.norm)
          Binarise = body |> Option.map (_.Binarise >> Names.binarise)
          Balanced = Recipe.centresSigns job.Recipe job.Net
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
