namespace NormFree.Networks

open System
open System.Diagnostics
open NormFree.Kernels.Simd
open NormFree.Platform
open NormFree.Runs

/// <summary>Facts about the machine and the process.</summary>
[<RequireQualifiedAccess>]
module Machine =

    /// <summary>The processor's name, or <c>unknown</c>.</summary>
    let processor = lazy (MachineFacts.Processor() |> Option.ofObj |> Option.defaultValue "unknown")

    /// <summary>The name of the first NVIDIA GPU, if the driver reports one.</summary>
    let gpu = lazy (MachineFacts.Gpu() |> Option.ofObj)

    /// <summary>What decides the rounding of sums on this machine: the processor and the kernels' instruction set.</summary>
    let arithmetic = lazy $"{processor.Value}, {InstructionSets.Best}"

    /// <summary>The same for networks on a device.</summary>
    let arithmeticOn device =
        match device with
        | Cpu -> arithmetic.Value
        | Cuda ->
            let gpu = gpu.Value |> Option.defaultValue "cuda"
            $"{arithmetic.Value}, {gpu}"

    /// <summary>The load average of the last minute, if the system reports it. Measurements are unreliable once it nears the number of
    /// processors.</summary>
    let load () : float option = MachineFacts.LoadAverage() |> Option.ofNullable

    /// <summary>Bytes of memory still available to this process, as reported by the system or, failing that, by .NET.</summary>
    let availableMemory () : int64 =
        let limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes
        MachineFacts.AvailableMemory() |> Option.ofNullable |> Option.fold min limit

    /// <summary>The peak memory of this process, in MiB.</summary>
    let peakMemory () =
        match MachineFacts.PeakMemory() |> Option.ofNullable with
        | Some bytes -> float bytes / 1048576.0
        | None ->
            use self = Process.GetCurrentProcess()
            float self.PeakWorkingSet64 / 1048576.0
