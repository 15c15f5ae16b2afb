namespace NormFree.Cli

open System.Threading
open NormFree.Interop
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open NormFree.Benchmarks

/// <summary><c>normfree bench infer</c>.</summary>
[<RequireQualifiedAccess>]
module internal BenchInferCommand =

    let private onnx rewrite threads (checkpoint: Checkpoint) (images: float32[]) : (unit -> IInference) list =
        let model = OnnxLowering.lower AnyNumber checkpoint |> rewrite
        let size, classes = int64 checkpoint.ImageTask.Size, checkpoint.Network.Spec.Classes
        let shape = [| images.LongLength / (3L * size * size); 3L; size; size |]
        [ fun () -> new OnnxSession(model, threads, images, shape, classes) ]

    /// Only an ONNX Runtime session loads ONNX Runtime.
    let private start (engine: InferenceEngine) threads =
        match engine with
        | InferenceEngine.Packed -> InferenceEngines.packed threads
        | InferenceEngine.Torch -> InferenceEngines.torch
        | InferenceEngine.OnnxRuntime -> onnx id threads
        | InferenceEngine.OnnxRuntimeInt8 -> onnx OnnxInt8.rewrite threads

    let private isOnnx engine = engine = InferenceEngine.OnnxRuntime || engine = InferenceEngine.OnnxRuntimeInt8

    let private job (args: Arguments) : InferenceJob =
        let image = args.Get Options.Measurement.image

        if args.Has Options.Execution.instructions && isOnnx (args.Get Options.Execution.inferenceEngine) then
            Output.warn "ONNX Runtime cannot be limited to an instruction set: it uses the fastest of this processor."

        let net =
            NetworkOptions.described args Options.Network.binaryArch image (args.Get Options.Network.classes)
            |> Net.withBinarise ActivationsAndWeights

        let basis = InferenceJob.Default net

        { basis with
            Engine = args.Get Options.Execution.inferenceEngine
            Image = image
            Batch = args.Get Options.Recipe.batch
            Threads = args.TryGet Options.Execution.threads |> Option.defaultValue basis.Threads
            WarmUp = args.Get Options.Measurement.warmUpSteps
            Runs = args.Get Options.Measurement.runs
            Seconds = args.Get Options.Measurement.seconds }

    /// The measured options in words.
    let private title (result: InferenceResult) =
        [ result.Arch
          yield! Option.toList result.Norm
          $"batch {result.Batch} of {result.Image}×{result.Image}"
          Json.name result.Engine
          yield! Option.toList result.Layout
          $"{result.Threads} threads" ]
        |> String.concat ", "

    let private print (result: InferenceResult) =
        Output.line (title result)

        Show.table
            [ "latency"; "median ms"; "95 % below, ms"; "images a second"; "peak memory" ]
            [ [ $"of {result.Runs} runs"
                $"{result.LatencyMs.Median:F3}"
                $"{result.LatencyMs.P95:F3}"
                $"{result.ImagesPerSecond:F1}"
                $"{result.PeakMemoryMb:F0} MB" ] ]

        Show.machine result.Environment

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        let job = job args
        let least = job.WarmUp + job.Runs

        let result =
            Show.counting "run" least (fun progress ->
                { job with Progress = min least >> progress; Cancellation = cancellation }
                |> InferenceBench.measure (start job.Engine job.Threads))

        if args.Has Options.Files.json then
            Output.json (Json.writeSnakeCase result)
        else
            print result
