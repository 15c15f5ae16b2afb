namespace NormFree.Networks

open NormFree.Runs
open NormFree.Torch.Native
open TorchSharp

/// <summary>What a network is run for. Batch norm is the only operation that looks at it: training uses the batch's statistics, evaluation
/// the running ones.</summary>
type Mode =
    | Train
    | Evaluate

/// <summary>Devices and executions in torch's terms.</summary>
[<AutoOpen>]
module TorchExecution =

    type Device with

        /// <summary>The TorchSharp device type.</summary>
        member d.Type =
            match d with
            | Cpu -> DeviceType.CPU
            | Cuda -> DeviceType.CUDA

        /// <summary>Throws TrainingException if libtorch has no such device.</summary>
        member d.Require() =
            TorchNative.Ensure()

            if d = Cuda && not (torch.cuda_is_available ()) then
                raise (
                    TrainingException
                        "device cuda: this libtorch finds none. Choose device cpu, or load a libtorch that is built for CUDA on a machine that has one."
                )

    type Execution with

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
