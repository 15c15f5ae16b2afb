namespace NormFree.Cli

open System
open System.IO
open Microsoft.ML.OnnxRuntime
open NormFree.Formats.Onnx
open NormFree.Interop
open NormFree.Runs
open NormFree.Benchmarks

/// <summary>ONNX Runtime for the verification of exported files. The session of each run is created and disposed.</summary>
[<Sealed>]
type OnnxRuntime() =

    interface IOnnxRuntime with
        member _.Run(model, images, shape, outputs) =
            use options = new SessionOptions(LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR)
            use session = new InferenceSession(model, options)
            use input = OrtValue.CreateTensorValueFromMemory(images, shape)
            use run = new Microsoft.ML.OnnxRuntime.RunOptions()
            use results = session.Run(run, [| "input" |], [| input |], outputs)
            [| for result in results -> result.GetTensorDataAsSpan<float32>().ToArray() |]

/// <summary>A network in ONNX Runtime with all of its optimisations: a comparison for the packed engine.</summary>
/// <remarks>Its threads spin while they wait, which is its default. All runs share the memory of the batch and of the logits.</remarks>
[<Sealed>]
type OnnxSession(model: OnnxModel, threads: int, images: float32[], shape: int64[], classes: int) =

    let logits: float32[] = Array.zeroCreate (int shape[0] * classes)

    let session =
        let path = Path.Combine(Path.GetTempPath(), $"normfree-{Guid.NewGuid():N}.onnx")

        use options =
            new SessionOptions(
                IntraOpNumThreads = threads,
                InterOpNumThreads = 1,
                GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
                LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR
            )

        try
            model.Save path
            new InferenceSession(path, options)
        finally
            File.Delete path

    let input = OrtValue.CreateTensorValueFromMemory(images, shape)
    let output = OrtValue.CreateTensorValueFromMemory(logits, [| shape[0]; int64 classes |])
    let run = new RunOptions()

    interface IInference with
        member _.Layout = None
        member _.Run() = session.Run(run, [| "input" |], [| input |], [| "logits" |], [| output |])
        member _.Logits = logits

        member _.Dispose() =
            run.Dispose()
            output.Dispose()
            input.Dispose()
            session.Dispose()
