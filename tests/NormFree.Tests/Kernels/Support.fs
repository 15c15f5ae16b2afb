/// What tests of kernels share.
module NormFree.Tests.Kernels.Support

#nowarn "9" // Kernels work on addresses.

open System
open System.Runtime.InteropServices
open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Simd

let private canary = 0xA5uy

/// Bytes before and behind the values: more than the widest vector's.
let private margin = 128

/// Values outside the managed heap, between margins that nobody may write to.
type Guarded<'T when 'T: unmanaged and 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType>
    (length: int, misalignment: int) =
    let bytes = length * sizeof<'T>
    let size = bytes + 2 * margin + misalignment
    let start = NativeMemory.AlignedAlloc(unativeint size, 64un) |> NativePtr.ofVoidPtr<byte>
    let first = margin + misalignment
    let all () = Span<byte>(NativePtr.toVoidPtr start, size)
    do (all ()).Fill canary

    new(values: 'T[]) as guarded =
        new Guarded<'T>(values.Length, 0)
        then values.AsSpan().CopyTo guarded.Span

    member _.Pointer: nativeptr<'T> = NativePtr.add start first |> NativePtr.toVoidPtr |> NativePtr.ofVoidPtr
    member b.Span = Span<'T>(NativePtr.toVoidPtr b.Pointer, length)
    member b.Values = b.Span.ToArray()

    /// Fails if anything was written outside.
    member _.Check() =
        let outside =
            Array.append ((all ()).Slice(0, first).ToArray()) ((all ()).Slice(first + bytes).ToArray())

        Expect.all outside (fun b -> b = canary) "nothing is written before or behind the buffer"

    interface IDisposable with
        member _.Dispose() = NativeMemory.AlignedFree(NativePtr.toVoidPtr start)

/// Random words, the same for the same seed.
let words (seed: uint64) count =
    let stream = RandomStream.OfSeed seed
    Array.init count (fun _ -> stream.Bits())

/// Packed signs of so many rows of channels: bits behind the last channel are 0.
let signs seed rows channels =
    let perRow = (channels + 63) / 64
    let values = words seed (rows * perRow)

    if channels % 64 <> 0 then
        for row in 1..rows do
            values[row * perRow - 1] <- values[row * perRow - 1] &&& ((1UL <<< (channels % 64)) - 1UL)

    values

/// A test of every instruction set; skipped by name where the processor does not have it.
let testEverySet name (body: InstructionSet -> unit) =
    testList
        name
        [ for set in Enum.GetValues<InstructionSet>() ->
              testCase $"{set}" (fun () ->
                  if InstructionSets.IsSupported set then
                      body set
                  else
                      skiptest $"this processor does not have {set}") ]
