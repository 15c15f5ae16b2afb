namespace NormFree.Runs

open System.Text.Json.Serialization

/// <summary>Who computes a network.</summary>
type Engine =
    /// Layers whose operations are fused into kernels of NormFree's own: the fast engine, on the CPU.
    | [<JsonPropertyName "fused">] Fused
    /// One torch operation after the other: runs everywhere and in float64, and is what the fused engine is tested against.
    | [<JsonPropertyName "composite">] Composite

/// <summary>What the fused engine computes convolutions in. Weights, shifts, losses and the optimiser are float32 in both.</summary>
type Precision =
    | [<JsonPropertyName "float32">] Float32
    /// Convolutions of real operands, and gradients of the input where filters are real, in bfloat16: 8 bits of precision. Products with signs
    /// stay in float32, where table lookups are faster.
    | [<JsonPropertyName "bf16">] BFloat16

/// <summary>Where a network's tensors are.</summary>
type Device =
    | [<JsonPropertyName "cpu">] Cpu
    /// The first CUDA device, where libtorch is built for it.
    | [<JsonPropertyName "cuda">] Cuda

/// <summary>How a network is computed. Engines differ in the last bits of results; bf16 differs by its rounding.</summary>
type Execution =
    { Engine: Engine
      Precision: Precision }

    /// <summary>The fused engine in float32.</summary>
    static member Default = { Engine = Fused; Precision = Float32 }

    /// <summary>The composite engine: what runs on every device.</summary>
    static member Portable = { Engine = Composite; Precision = Float32 }

/// <summary>Into how many parts a batch is divided to compute its gradients.</summary>
type BatchPartition =
    {
        /// Processes, each of which computes a part.
        Ranks: int
        /// Parts one after the other in each of them.
        Accumulate: int
    }

    /// <summary>Not at all.</summary>
    static member Whole = { Ranks = 1; Accumulate = 1 }

    /// <summary>All of them.</summary>
    member d.Parts = d.Ranks * d.Accumulate

    /// <summary>In words; none where there is nothing to say.</summary>
    member d.Names =
        [ if d.Ranks > 1 then
              $"ranks {d.Ranks}"
          if d.Accumulate > 1 then
              $"accumulated parts {d.Accumulate}" ]
