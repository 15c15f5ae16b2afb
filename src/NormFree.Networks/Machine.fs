namespace NormFree.Networks

open System
open System.Diagnostics
open System.IO
open NormFree.Kernels.Simd
open NormFree.Runs

/// <summary>What measurements depend on, and what they cannot do without: the machine and the process.</summary>
[<RequireQualifiedAccess>]
module Machine =

    /// Linux tells such things in files; other systems have none.
    let private lines path =
        try
            File.ReadAllLines path |> Array.toList
        with :? IOException ->
            []

    /// The value of the first line `name: value`, or `name<tab>: value`.
    let private field (name: string) path =
        lines path
        |> List.tryPick (fun line ->
            match line.Split(':', 2) with
            | [| key; value |] when key.Trim() = name -> Some(value.Trim())
            | _ -> None)

    /// <summary>The processor's name, where the system tells it.</summary>
    let processor = lazy (field "model name" "/proc/cpuinfo" |> Option.defaultValue "unknown")

    /// <summary>The first GPU's name, where NVIDIA's driver tells it.</summary>
    let gpu =
        lazy
            (let root = "/proc/driver/nvidia/gpus"

             if Directory.Exists root then
                 Directory.GetDirectories root
                 |> Array.sort
                 |> Array.tryPick (fun gpu -> field "Model" (Path.Combine(gpu, "information")))
             else
                 None)

    /// <summary>What decides how sums are rounded on this machine: its processor, and the instruction set of our kernels.</summary>
    let arithmetic = lazy $"{processor.Value}, {InstructionSets.Best}"

    /// <summary>The same where networks are computed on that device.</summary>
    let arithmeticOn device =
        match device with
        | Cpu -> arithmetic.Value
        | Cuda ->
            let gpu = gpu.Value |> Option.defaultValue "cuda"
            $"{arithmetic.Value}, {gpu}"

    /// <summary>How many threads of the whole machine wanted to run over the last minute, where the system tells it: from about the number of
    /// processors, no measurement can be trusted.</summary>
    let load () : float option =
        lines "/proc/loadavg" |> List.tryHead |> Option.map (fun line -> float (line.Split(' ')[0]))

    /// <summary>Bytes of memory that this process may still take without the system running short, where the system tells it; otherwise what .NET
    /// takes to be there.</summary>
    let availableMemory () : int64 =
        let limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes

        match field "MemAvailable" "/proc/meminfo" with
        | Some value -> min limit (1024L * int64 (value.Split(' ')[0]))
        | None -> limit

    /// <summary>The most memory that this process has had in use since its start, in MB of 2²⁰ bytes.</summary>
    let peakMemory () =
        match field "VmHWM" "/proc/self/status" with
        | Some value -> float (value.Split(' ')[0]) / 1024.0
        | None ->
            use self = Process.GetCurrentProcess()
            float self.PeakWorkingSet64 / 1048576.0
