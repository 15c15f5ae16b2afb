namespace NormFree.Benchmarks

open System
open System.Diagnostics
open System.Text.Json.Serialization
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Platform
open NormFree.Training
open NormFree.Torch.Native
open TorchSharp

/// <summary>Measures inference.</summary>
[<RequireQualifiedAccess>]
module InferenceBench =

    let private problems (job: InferenceJob) =
        [ yield! Option.toList (Bench.memoryProblem job.Batch job.Image)
          match Validation.fits job.Image job.Image job.Net with
          | Ok _ -> ()
          | Error errors -> yield! errors |> List.map string
          match Net.tryBinary job.Net with
          | Some { Binarise = ActivationsAndWeights } -> ()
          | _ ->
              yield
                  $"inference benchmarks need a network with binary activations and weights, which {job.Net.Name} is not"
          for name, value, least in
              [ "images", job.Batch, 1
                "threads", job.Threads, 1
                "runs to measure", job.Runs, 1
                "runs to warm up", job.WarmUp, 0 ] do
              if value < least then
                  yield $"the number of {name} must be at least {least}, it is {value}"
          if not (job.Seconds >= 0.0 && Double.IsFinite job.Seconds) then
              yield $"the duration must be finite and not negative, it is {job.Seconds} seconds" ]

    let private check job =
        match problems job with
        | [] -> ()
        | found -> raise (TrainingException(String.concat "\n" found))

    /// A random network, as a checkpoint for the engines.
    let private checkpoint (job: InferenceJob) : Checkpoint =
        let network = RandomNetwork.create 1L job.Net

        { Network = network
          ImageTask =
            { Dataset = "noise"
              Classes = Array.init job.Net.Classes string
              Size = job.Image
              Normalisation = NormFree.Data.Normalisation.imageNet
              Preprocessing = [] }
          State =
            { TrainingState.Of(Recipe.published, "random") with
                Threads = job.Threads
                Execution = Some network.Execution } }

    /// N×3×S×S values of standard normal noise.
    let private noise (job: InferenceJob) =
        use generator = new torch.Generator(1UL)
        let size = int64 job.Image
        use images = torch.randn ([| int64 job.Batch; 3L; size; size |], generator = generator)
        images.data<float32>().ToArray()

    /// Milliseconds of each measured run.
    let private times (job: InferenceJob) (inference: IInference) =
        let run number =
            job.Cancellation.ThrowIfCancellationRequested()
            let start = Stopwatch.GetTimestamp()
            inference.Run()
            let time = Stopwatch.GetElapsedTime(start).TotalMilliseconds
            job.Progress number
            time

        for number in 1 .. job.WarmUp do
            run number |> ignore

        let clock = Stopwatch.StartNew()
        let times = ResizeArray<float>()

        while times.Count < job.Runs || clock.Elapsed.TotalSeconds < job.Seconds do
            times.Add(run (job.WarmUp + times.Count + 1))

        List.ofSeq times

    /// The 95th percentile.
    let private percentile95 values =
        let sorted = List.sort values
        sorted[int (ceil (0.95 * float sorted.Length)) - 1]

    let private latency times =
        { Median = Medians.round (Spread.Of times).Median; P95 = Medians.round (percentile95 times) }

    /// Layouts are measured one after the other, so that they do not compete for caches.
    let private measureOne job (start: unit -> IInference) =
        use inference = start ()
        inference.Layout, times job inference

    /// <summary>Measures an engine on a random network and images of noise, in its fastest layout.</summary>
    /// <remarks>
    /// <c>start</c> creates the engine for a network and images (N×3×S×S), once for each of its layouts; it must not keep the network. Throws
    /// TrainingException with all problems of an invalid job, and OperationCanceledException if its token is cancelled.
    /// </remarks>
    let measure (start: Checkpoint -> float32[] -> (unit -> IInference) list) (job: InferenceJob) : InferenceResult =
        check job
        TorchNative.Ensure()
        torch.set_num_threads job.Threads
        MemoryReuse.Enable()
        let environment = BenchEnvironment.Now()
        let layouts = using (checkpoint job) (fun checkpoint -> start checkpoint (noise job))

        let layout, times =
            layouts |> List.map (measureOne job) |> List.minBy (fun (_, times) -> (Spread.Of times).Median)

        let latency = latency times

        { Engine = job.Engine
          Layout = layout
          Arch = job.Net.Name
          Norm = Net.tryBinary job.Net |> Option.map (_.Norm >> Names.norm)
          Classes = job.Net.Classes
          Batch = job.Batch
          Image = job.Image
          Threads = job.Threads
          WarmUp = job.WarmUp
          Runs = times.Length
          LatencyMs = latency
          ImagesPerSecond = Medians.round (1000.0 * float job.Batch / latency.Median)
          PeakMemoryMb = Medians.round (Machine.peakMemory ())
          Environment = environment }
