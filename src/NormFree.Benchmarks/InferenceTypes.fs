namespace NormFree.Benchmarks

open System
open System.Text.Json.Serialization
open System.Threading
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Training

/// <summary>Inference engines: NormFree's packed engine and its competitors.</summary>
[<RequireQualifiedAccess>]
type InferenceEngine =
    /// NormFree's kernels on packed signs.
    | [<JsonPropertyName "packed">] Packed
    /// libtorch in float32 with all constants folded.
    | [<JsonPropertyName "torch">] Torch
    /// ONNX Runtime in float32 on an exported file.
    | [<JsonPropertyName "onnxruntime">] OnnxRuntime
    /// ONNX Runtime with binary convolutions in 8-bit integers.
    | [<JsonPropertyName "onnxruntime-int8">] OnnxRuntimeInt8

/// <summary>An engine with a network and a batch of images.</summary>
type IInference =
    inherit IDisposable

    /// <summary>The memory layout of feature maps. None if the engine chooses it.</summary>
    abstract Layout: string option

    /// <summary>Computes the batch's logits.</summary>
    abstract Run: unit -> unit

    /// <summary>N×classes logits of the last run.</summary>
    abstract Logits: float32[]

/// <summary>An inference benchmark.</summary>
type InferenceJob =
    {
        /// A network with binary activations and weights.
        Net: NormFree.Spec.NetSpec
        Engine: InferenceEngine
        /// Side of the images in pixels.
        Image: int
        /// Images per run.
        Batch: int
        Threads: int
        /// Runs before the measured ones.
        WarmUp: int
        /// The minimum number of measured runs.
        Runs: int
        /// The minimum duration of the measured runs.
        Seconds: float
        /// Called after every run, including the warm-up, with the number of runs so far. Restarts at 1 for each layout.
        Progress: int -> unit
        Cancellation: CancellationToken
    }

    /// <summary>Single 32×32 images with the packed engine on all processors.</summary>
    static member Default net =
        { Net = net
          Engine = InferenceEngine.Packed
          Image = 32
          Batch = 1
          Threads = Environment.ProcessorCount
          WarmUp = 5
          Runs = 20
          Seconds = 1.0
          Progress = ignore
          Cancellation = CancellationToken.None }

/// <summary>Median and 95th percentile of the milliseconds per batch.</summary>
type Latency = { Median: float; P95: float }

/// <summary>The speed of inference: the output of <c>normfree bench infer --json</c>.</summary>
type InferenceResult =
    {
        Engine: InferenceEngine
        /// The fastest layout. None if the engine chooses it.
        Layout: string option
        Arch: string
        /// None for a full-precision network.
        Norm: string option
        Classes: int
        Batch: int
        Image: int
        Threads: int
        WarmUp: int
        /// Measured runs.
        Runs: int
        LatencyMs: Latency
        /// At the median latency.
        ImagesPerSecond: float
        /// Of the process since its start, in MB of 2²⁰ bytes. Includes libtorch, which creates the network, for every engine.
        PeakMemoryMb: float
        Environment: BenchEnvironment
    }
