namespace NormFree.Runs

open System
open System.Text.Json.Serialization

/// <summary>The code that computes a network during training.</summary>
type Engine =
    /// Fused layers, computed by NormFree's own kernels on the CPU: the fast engine.
    | [<JsonPropertyName "fused">] Fused
    /// One torch operation after another. It runs on every device and in float64, and is the reference for the fused engine's tests.
    | [<JsonPropertyName "composite">] Composite

/// <summary>The number format of the fused engine's convolutions. Weights, shifts, losses and the optimiser always use float32.</summary>
type Precision =
    | [<JsonPropertyName "float32">] Float32
    /// bfloat16 (8 bits of precision) for convolutions of real operands and for input gradients of real filters. Products with signs stay in
    /// float32, where table lookups are faster.
    | [<JsonPropertyName "bf16">] BFloat16

/// <summary>The device that holds a network's tensors.</summary>
type Device =
    | [<JsonPropertyName "cpu">] Cpu
    /// The first CUDA device. Needs a libtorch that is built for CUDA.
    | [<JsonPropertyName "cuda">] Cuda

/// <summary>How a network is computed. Engines differ in the last bits of results; bf16 differs by its rounding.</summary>
type Execution =
    { Engine: Engine
      Precision: Precision }

    /// <summary>The fused engine in float32.</summary>
    static member Default = { Engine = Fused; Precision = Float32 }

    /// <summary>The composite engine: what runs on every device.</summary>
    static member Portable = { Engine = Composite; Precision = Float32 }

/// <summary>The parts in which the gradients of a batch are computed.</summary>
type BatchPartition =
    {
        /// Processes, each of which computes one share of the batch.
        Ranks: int
        /// Parts that each process computes one after another.
        Accumulate: int
    }

    /// <summary>The undivided batch.</summary>
    static member Whole = { Ranks = 1; Accumulate = 1 }

    /// <summary>The number of all parts.</summary>
    member d.Parts = d.Ranks * d.Accumulate

    /// <summary>The partition in words; empty for an undivided batch.</summary>
    member d.Names =
        [ if d.Ranks > 1 then
              $"ranks {d.Ranks}"
          if d.Accumulate > 1 then
              $"accumulated parts {d.Accumulate}" ]

/// <summary>What training does about a loss, gradient or weight that is NaN or infinite.</summary>
type OnNonFinite =
    /// Ends the training. Checkpoints of earlier steps are intact.
    | [<JsonPropertyName "stop">] Stop
    /// Skips the batch.
    | [<JsonPropertyName "skip">] Skip
    /// Restores weights and optimiser from the last checkpoint and continues with the batches after this one.
    | [<JsonPropertyName "rollback">] Rollback

/// <summary>Which checkpoints a run keeps.</summary>
type CheckpointPolicy =
    {
        /// How many of the last checkpoints of each stage are kept.
        Checkpoints: int
        /// The longest time between two checkpoints. The end of every epoch writes one too.
        Every: TimeSpan
    }

    /// <summary>Two checkpoints, at most ten minutes apart.</summary>
    static member Default = { Checkpoints = 2; Every = TimeSpan.FromMinutes 10.0 }
