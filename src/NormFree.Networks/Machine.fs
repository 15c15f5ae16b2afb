namespace NormFree.Networks

open System
open System.Diagnostics
open System.IO
open NormFree.Kernels.Simd
open NormFree.Runs

/// <summary>Facts about the machine and the process.</summary>
[<RequireQualifiedAccess>]
module Machine =

    /// The lines of a file in /proc; empty on other systems than Linux.
    let private lines path =
        try
            File.ReadAllLines path |> Array.toList
        with :? IOException ->
            []

    /// The value of the first line `name: value` or `name<tab>: value`.
    let private field (name: string) path =
        lines path
        |> List.tryPick (fun line ->
            match line.Split(':', 2) with
            | [| key; value |] when key.Trim() = name -> Some(value.Trim())
            | _ -> None)

    /// <summary>The processor's name, or <c>unknown</c>.</summary>
    let processor = lazy (field "model name" "/proc/cpuinfo" |> Option.defaultValue "unknown")

    /// <summary>The name of the first NVIDIA GPU, if the driver reports one.</summary>
    let gpu =
        lazy
            (let root = "/proc/driver/nvidia/gpus"

             if Directory.Exists root then
                 Directory.GetDirectories root
                 |> Array.sort
                 |> Array.tryPick (fun gpu -> field "Model" (Path.Combine(gpu, "information")))
             else
                 None)

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
    let load () : float option =
        lines "/proc/loadavg" |> List.tryHead |> Option.map (fun line -> float (line.Split(' ')[0]))

    /// <summary>Bytes of memory still available to this process, as reported by the system or, failing that, by .NET.</summary>
    let availableMemory () : int64 =
        let limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes

        match field "MemAvailable" "/proc/meminfo" with
        | Some value -> min limit (1024L * int64 (value.Split(' ')[0]))
        | None -> limit

    /// <summary>The peak memory of this process, in MiB.</summary>
    let peakMemory () =
        match field "VmHWM" "/proc/self/status" with
        | Some value -> float (value.Split(' ')[0]) / 1024.0
        | None ->
            use self = Process.GetCurrentProcess()
            float self.PeakWorkingSet64 / 1048576.0
