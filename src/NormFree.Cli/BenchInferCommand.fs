namespace NormFree.Cli

open System
open Argu
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open NormFree.Benchmarks

/// <summary><c>normfree bench infer</c>.</summary>
[<RequireQualifiedAccess>]
module BenchInferCommand =

    let private onnx rewrite threads (checkpoint: Checkpoint) (images: float32[]) : (unit -> IInference) list =
        let model = OnnxLowering.lower AnyNumber checkpoint |> rewrite
        let size, classes = int64 checkpoint.ImageTask.Size, checkpoint.Network.Spec.Classes
        let shape = [| images.LongLength / (3L * size * size); 3L; size; size |]
        [ fun () -> new OnnxSession(model, threads, images, shape, classes) ]

    /// ONNX Runtime is loaded by nothing but its session, and by no other command.
    let private start (engine: InferenceEngine) threads =
        match engine with
        | InferenceEngine.Packed -> InferenceEngines.packed threads
        | InferenceEngine.Torch -> InferenceEngines.torch
        | InferenceEngine.OnnxRuntime -> onnx id threads
        | InferenceEngine.OnnxRuntimeInt8 -> onnx OnnxInt8.rewrite threads

    let private requireBinary (net: NetSpec) =
        match net.Body with
        | Binary _ -> net
        | FullPrecision _ ->
            raise (UsageException $"--arch cannot be {net.Name}, a full-precision network: choose one of ReActNet's.")

    let private network (args: ParseResults<BenchInferArgs>) image =
        Choices.sized
            (args.GetResult(BenchInferArgs.Arch, "reactnet-18"))
            (args.TryGetResult BenchInferArgs.Width, args.TryGetResult BenchInferArgs.Depth)
            (TrainCommand.stem (args.TryGetResult BenchInferArgs.Stem) image)
        |> requireBinary
        |> Net.withClasses (Choices.within 2 10_000_000 "--classes" (args.GetResult(BenchInferArgs.Classes, 10)))
        |> Net.withNorm (Choices.norm (args.GetResult(BenchInferArgs.Norm, "bn-free")))
        |> Net.withBinarise ActivationsAndWeights

    let private job (args: ParseResults<BenchInferArgs>) : InferenceJob =
        let image = Choices.side "--image" (args.GetResult(BenchInferArgs.Image, 32))
        let basis = InferenceJob.Default(network args image)

        { basis with
            Engine =
                args.TryGetResult BenchInferArgs.Engine
                |> Option.map Choices.inferenceEngine
                |> Option.defaultValue basis.Engine
            Image = image
            Batch = Choices.count "--batch" (args.GetResult(BenchInferArgs.Batch, basis.Batch))
            Threads = Choices.threads "--threads" (args.GetResult(BenchInferArgs.Threads, basis.Threads))
            WarmUp = Choices.within 0 Int32.MaxValue "--warm-up" (args.GetResult(BenchInferArgs.Warm_Up, basis.WarmUp))
            Runs = Choices.count "--runs" (args.GetResult(BenchInferArgs.Runs, basis.Runs))
            Seconds = Choices.seconds "--seconds" (args.GetResult(BenchInferArgs.Seconds, basis.Seconds)) }

    /// What was measured, in the words of its options.
    let private title (result: InferenceResult) =
        [ result.Arch
          yield! Option.toList result.Norm
          $"batch {result.Batch} of {result.Image}×{result.Image}"
          Json.name result.Engine
          yield! Option.toList result.Layout
          $"{result.Threads} threads" ]
        |> String.concat ", "

    let private print (result: InferenceResult) =
        Console.WriteLine(title result)

        Show.table
            [ "latency"; "median ms"; "95 % below, ms"; "images a second"; "peak memory" ]
            [ [ $"of {result.Runs} runs"
                $"{result.LatencyMs.Median:F3}"
                $"{result.LatencyMs.P95:F3}"
                $"{result.ImagesPerSecond:F1}"
                $"{result.PeakMemoryMb:F0} MB" ] ]

        Show.machine result.Environment

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<BenchInferArgs>) =
        let job = job args

        let least = job.WarmUp + job.Runs

        let result =
            Outcome.untilInterrupted "Nothing is kept." (fun cancellation ->
                Show.counting "run" least (fun progress ->
                    { job with Progress = min least >> progress; Cancellation = cancellation }
                    |> InferenceBench.measure (start job.Engine job.Threads)))

        if args.Contains BenchInferArgs.Json then
            Console.WriteLine(Json.writeSnakeCase result)
        else
            print result
