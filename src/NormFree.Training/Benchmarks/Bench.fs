namespace NormFree.Training

open System
open System.Collections.Generic
open System.Diagnostics
open NormFree.Data
open NormFree.Spec
open NormFree.Torch.Native
open NormFree.Torch.Profiling
open NormFree.Torch.Training
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

    /// The batches of all steps, read ahead by the loader's threads as in a training.
    let private batches (job: BenchJob) : seq<Batch> =
        let dataset, batch = noise job, job.Recipe.Batch
        let workers = Surroundings.Default.Workers

        let options =
            { Loader.training dataset batch with
                Workers = workers
                Prefetch = workers + 2
                Cancellation = job.Cancellation }

        Array.init ((job.WarmUp + job.Steps) * batch) (fun i -> i % batch)
        |> Loader.read options dataset.Train

    /// What Stage does with a batch, phase by phase.
    let private phases (job: BenchJob) (network: Network) (optimisation: Optimisation) (batches: IEnumerator<Batch>) =
        use _ = torch.NewDisposeScope()

        let (images, labels), data =
            timed (fun () ->
                batches.MoveNext() |> ignore
                Evaluation.tensors network batches.Current)

        let loss, forward =
            timed (fun () ->
                let loss = Losses.CrossEntropy(network.Forward(images, Train), labels)
                loss.item<float32>() |> ignore
                loss)

        let (), backward = timed (fun () -> network.Backward loss)

        let (), clip =
            timed (fun () ->
                Numbers.gradient optimisation |> ignore
                optimisation.Clip())

        let (), step = timed (fun () -> optimisation.Move job.Recipe.LearningRate)
        { Data = data; Forward = forward; Backward = backward; Clip = clip; Step = step }

    let private step (job: BenchJob) network optimisation batches =
        job.Cancellation.ThrowIfCancellationRequested()
        let phases, total = timed (fun () -> phases job network optimisation batches)
        { Phases = phases; Total = total; Layers = List.ofSeq (LayerClock.Take()) }

    /// All steps; those of the warm-up are left out.
    let private steps (job: BenchJob) =
        use network =
            Network.create
                torch.ScalarType.Float32
                job.Recipe.Deviations.BinaryStart
                job.Recipe.Seed
                (Recipe.applyTo job.Net job.Recipe)
            |> Network.running job.Execution

        use optimisation = new Optimisation(job.Recipe, network)
        use batches = (batches job).GetEnumerator()

        let times =
            [ for number in 1 .. job.WarmUp + job.Steps do
                  let times = step job network optimisation batches
                  job.Progress number
                  times ]

        network.Execution, List.skip job.WarmUp times

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
        let execution, steps = measure job
        let body = Net.binaryBody job.Net

        { Engine = execution.Engine
          Precision = execution.Precision
          Arch = job.Net.Name
          Norm = body |> Option.map (_.Norm >> Words.norm)
          Binarise = body |> Option.map (_.Binarise >> Words.binarise)
          Classes = job.Net.Classes
          Batch = job.Recipe.Batch
          Image = job.Image
          Threads = torch.get_num_threads ()
          WarmUp = job.WarmUp
          Steps = job.Steps
          ImagesPerSecond = Medians.speed job.Recipe.Batch steps
          PeakMemoryMb = Medians.round (Machine.peakMemory ())
          PhaseMs = Medians.phases steps
          Environment = environment
          Profile = if job.Profile then Some(Medians.layers steps) else None }
