/// Reads randomly damaged files and checks errors and allocations.
module NormFree.Tests.Formats.Mutation

open System
open Expecto
open NormFree.Formats

/// The number of damaged files per reader; NORMFREE_MUTATIONS overrides it for a long run.
let rounds =
    match Int32.TryParse(Environment.GetEnvironmentVariable "NORMFREE_MUTATIONS") with
    | true, rounds -> rounds
    | _ -> 5_000

/// Bytes that make counts huge.
let private giants = [| 0xffuy, 4; 0xffuy, 8; 0x7fuy, 4; 0x7fuy, 8; 0x00uy, 8 |]

/// Flips one to three bits, overwrites bytes, truncates, removes or repeats a range, or writes a giant count.
let damage (random: Random) (original: byte[]) =
    let bytes = Array.copy original
    let place () = random.Next bytes.Length

    match random.Next 6 with
    | 0 ->
        for _ in 0 .. random.Next 3 do
            let at = place ()
            bytes[at] <- bytes[at] ^^^ (1uy <<< random.Next 8)

        bytes
    | 1 ->
        for _ in 0 .. random.Next 3 do
            bytes[place ()] <- byte (random.Next 256)

        bytes
    | 2 -> Array.truncate (place ()) bytes
    | 3 -> Array.append (Array.truncate (place ()) bytes) (Array.skip (place ()) bytes)
    | 4 ->
        let at = place ()
        let piece = Array.sub bytes at (random.Next(bytes.Length - at))
        Array.concat [ Array.truncate at bytes; piece; piece; Array.skip at bytes ]
    | _ ->
        let fill, count = giants[random.Next giants.Length]
        let at = place ()
        Array.Fill(bytes, fill, at, min count (bytes.Length - at))
        bytes

/// Reads damaged copies of the originals, each put into a file by `wrap`, and returns how many were rejected. The test fails, naming the round, on
/// any exception except InvalidFileException, and on allocations above 64 KiB and `factor` bytes per byte of the file.
let surviveInside (wrap: byte[] -> byte[]) seed factor (originals: byte[] list) (read: byte[] -> unit) =
    let random = Random(seed: int)
    let mutable rejected = 0

    for round in 1..rounds do
        let bytes = originals[random.Next originals.Length] |> damage random |> wrap
        let before = GC.GetAllocatedBytesForCurrentThread()

        try
            read bytes
        with
        | :? InvalidFileException as e ->
            rejected <- rejected + 1

            if e.Message.Contains '\n' || not (e.Message.StartsWith "damaged, ") then
                failtestf "round %d: message %s" round e.Message
        | e -> failtestf "round %d: %O" round e

        let allocated = GC.GetAllocatedBytesForCurrentThread() - before

        if allocated > 65_536L + factor * int64 bytes.Length then
            failtestf "round %d: %d bytes allocated for a file of %d" round allocated bytes.Length

    rejected

/// The same for files that are damaged anywhere.
let survive seed factor (originals: byte[] list) (read: byte[] -> unit) = surviveInside id seed factor originals read

/// The message of the InvalidFileException that an action throws.
let refusal (action: unit -> 'a) =
    try
        action () |> ignore
        failtest "the file was accepted"
    with :? InvalidFileException as e ->
        e.Message
