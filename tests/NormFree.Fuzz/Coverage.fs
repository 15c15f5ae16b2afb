/// Which branches an input takes, as instrumented assemblies report it.
module NormFree.Fuzz.Coverage

#nowarn "9"

open System
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

/// Size of the map of branches: one counter for each hash of an edge.
let private mapBytes = 1 <<< 16

/// Counters of this process, which instrumented code increments. AFL++ replaces them while it runs a target.
let private counters =
    lazy
        (let memory = Marshal.AllocHGlobal mapBytes
         SharpFuzz.Common.Trace.SharedMem <- NativePtr.ofNativeInt<byte> memory
         memory)

/// Instrumented code needs counters before it runs.
let start () = counters.Force() |> ignore

/// AFL's classes of counts: 1, 2, 3, 4–7, 8–15, 16–31, 32–127, 128–255.
let private countClass (count: byte) =
    match int count with
    | 0 -> 0uy
    | n when n <= 3 -> byte (1 <<< (n - 1))
    | n when n < 8 -> 8uy
    | n when n < 16 -> 16uy
    | n when n < 32 -> 32uy
    | n when n < 128 -> 64uy
    | _ -> 128uy

/// The smallest inputs that take all branches, with their counts, that any input takes. Inputs that break the contract are left out.
let minimise (target: Contract.Target) (inputs: byte[] list) : byte[] list =
    let memory = counters.Value

    let zeros, counts, seen =
        Array.zeroCreate<byte> mapBytes, Array.zeroCreate<byte> mapBytes, Array.zeroCreate<byte> mapBytes

    let isSound bytes =
        Marshal.Copy(zeros, 0, memory, mapBytes)
        SharpFuzz.Common.Trace.PrevLocation <- 0

        try
            Contract.check target bytes
            true
        with _ ->
            false

    let isNew () =
        Marshal.Copy(memory, counts, 0, mapBytes)
        let mutable found = false

        for i in 0 .. mapBytes - 1 do
            let bit = countClass counts[i]

            if seen[i] ||| bit <> seen[i] then
                seen[i] <- seen[i] ||| bit
                found <- true

        found

    // What is initialised once must not count for the first input.
    inputs |> List.iter (isSound >> ignore)

    inputs |> List.sortBy _.Length |> List.filter (fun bytes -> isSound bytes && isNew ())
