namespace NormFree.Training

open System.Text.Json.Serialization
open TorchSharp

/// <summary>What a network is run for. Batch norm is the only operation that looks at it: training uses the batch's statistics, evaluation
/// the running ones.</summary>
type Mode =
    | Train
    | Evaluate

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

    /// <summary>torch's name of it.</summary>
    member d.Type =
        match d with
        | Cpu -> DeviceType.CPU
        | Cuda -> DeviceType.CUDA

    /// <summary>Throws TrainingException where torch has no such device.</summary>
    member d.Require() =
        if d = Cuda && not (torch.cuda_is_available ()) then
            raise (
                TrainingException
                    "device cuda: this libtorch finds none. Choose device cpu, or load a libtorch that is built for CUDA on a machine that has one."
            )

/// <summary>How a network is computed. Engines differ in the last bits of results; bf16 differs by its rounding.</summary>
type Execution =
    { Engine: Engine
      Precision: Precision }

    /// <summary>The fused engine in float32.</summary>
    static member Default = { Engine = Fused; Precision = Float32 }

    /// <summary>The composite engine: what runs on every device.</summary>
    static member Portable = { Engine = Composite; Precision = Float32 }

    /// <summary>What is really used for tensors of this type on this device, or why there is no such thing.</summary>
    /// <remarks>The fused engine takes float32 tensors on the CPU; all others are left to the composite one, which computes in their own type.</remarks>
    member asked.On(device: DeviceType, dtype: torch.ScalarType) : Result<Execution, string> =
        match asked with
        | { Engine = Composite; Precision = BFloat16 } ->
            Error "bf16 needs the fused engine: choose engine fused, or precision float32."
        | { Precision = BFloat16 } when device <> DeviceType.CPU ->
            Error "bf16 needs the fused engine, which computes on the CPU: choose device cpu, or precision float32."
        | { Precision = BFloat16 } when dtype <> torch.ScalarType.Float32 ->
            Error "bf16 needs a network of float32: choose that type, or precision float32."
        | _ when device <> DeviceType.CPU || dtype <> torch.ScalarType.Float32 -> Ok Execution.Portable
        | possible -> Ok possible
