namespace NormFree.Runs

open System
open System.Text.Json.Serialization

/// <summary>The engine that computes a network.</summary>
type Engine =
    /// NormFree's own fused kernels for binary layers: the fast engine, for the CPU.
    | [<JsonPropertyName "fused">] Fused
    /// One torch operation at a time: runs on every device and in float64. The fused engine is tested against it.
    | [<JsonPropertyName "composite">] Composite

/// <summary>The number format of the fused engine's convolutions. Weights, shifts, losses and the optimiser are float32 in both cases.</summary>
type Precision =
    | [<JsonPropertyName "float32">] Float32
    /// bfloat16 (8 bits of precision) for convolutions of real operands, and for input gradients of real filters. Products with signs stay in
    /// float32, where table lookups are faster.
    | [<JsonPropertyName "bf16">] BFloat16

/// <summary>The device that holds a network's tensors.</summary>
type Device =
    | [<JsonPropertyName "cpu">] Cpu
    /// The first CUDA device, if libtorch is built for CUDA.
    | [<JsonPropertyName "cuda">] Cuda

/// <summary>How a network is computed. Engines differ in the last bits of results; bf16 differs by its rounding.</summary>
type Execution =
    { Engine: Engine
      Precision: Precision }

    /// <summary>The fused engine in float32.</summary>
    static member Default = { Engine = Fused; Precision = Float32 }

    /// <summary>The composite engine in float32, which runs on every device.</summary>
    static member Portable = { Engine = Composite; Precision = Float32 }

/// <summary>How a batch is partitioned to compute its gradients.</summary>
type BatchPartition =
    {
        /// Processes, each of which computes a part of the batch.
        Ranks: int
        /// Micro-batches that each process computes in turn.
        Accumulate: int
    }

    /// <summary>A single part.</summary>
    static member Whole = { Ranks = 1; Accumulate = 1 }

    /// <summary>The number of parts.</summary>
    member d.Parts = d.Ranks * d.Accumulate

    /// <summary>A description for people; empty for a single part.</summary>
    member d.Description =
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
