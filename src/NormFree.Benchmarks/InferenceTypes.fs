namespace NormFree.Benchmarks

open System
open System.Text.Json.Serialization
open System.Threading
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Training

/// <summary>Who computes a trained network: NormFree's packed engine, and those that it is measured against.</summary>
[<RequireQualifiedAccess>]
type InferenceEngine =
    /// Packed signs, NormFree's kernels.
    | [<JsonPropertyName "packed">] Packed
    /// libtorch in float32, all constants folded.
    | [<JsonPropertyName "torch">] Torch
    /// ONNX Runtime in float32 on an exported file.
    | [<JsonPropertyName "onnxruntime">] OnnxRuntime
    /// The same with binary convolutions in 8-bit integers.
    | [<JsonPropertyName "onnxruntime-int8">] OnnxRuntimeInt8

/// <summary>An engine that holds a network and a batch of images.</summary>
type IInference =
    inherit IDisposable

    /// <summary>How maps lie in memory, where the engine leaves that to its user.</summary>
    abstract Layout: string option

    /// <summary>Computes the batch's logits, as often as it is called.</summary>
    abstract Run: unit -> unit

    /// <summary>N×classes, of the last run.</summary>
    abstract Logits: float32[]

/// <summary>Inference to measure.</summary>
type InferenceJob =
    {
        /// A network of binary activations and weights.
        Net: NormFree.Spec.NetSpec
        Engine: InferenceEngine
        /// Pixels along a side of the images.
        Image: int
        /// Images a run.
        Batch: int
        Threads: int
        /// Runs before the first that counts.
        WarmUp: int
        /// At least so many runs count,
        Runs: int
        /// for at least so many seconds.
        Seconds: float
        /// Called after every run, the warm-up's included, with the number of runs so far; each layout begins anew.
        Progress: int -> unit
        Cancellation: CancellationToken
    }

    /// <summary>Single images of 32×32 by the packed engine, on all processors.</summary>
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

/// <summary>Milliseconds from a batch to its logits.</summary>
type Latency = { Median: float; P95: float }

/// <summary>The speed of inference; as JSON it is what <c>normfree bench infer --json</c> prints.</summary>
type InferenceResult =
    {
        Engine: InferenceEngine
        /// The faster one where there are several; nothing where the engine has its own.
        Layout: string option
        Arch: string
        /// Nothing for a full-precision network.
        Norm: string option
        Classes: int
        Batch: int
        Image: int
        Threads: int
        WarmUp: int
        /// How many were measured.
        Runs: int
        LatencyMs: Latency
        /// At the median latency.
        ImagesPerSecond: float
        /// Of the process, since its start, in MB of 2²⁰ bytes: libtorch, which makes the network, is in it whatever the engine.
        PeakMemoryMb: float
        Environment: BenchEnvironment
    }
