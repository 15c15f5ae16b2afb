/// Guarded memory, packed signs and test builders for kernel tests.
module NormFree.Tests.Kernels.Support

#nowarn "9" // Kernels work on addresses.

open System
open System.Runtime.InteropServices
open Expecto
open FsCheck
open FsCheck.FSharp
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Simd

let private canary = 0xA5uy

/// Bytes before and after the values; more than the widest vector.
let private margin = 128

/// Unmanaged memory between guard margins. <c>Check</c> fails if a kernel wrote to a margin.
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

    member _.Check() =
        let outside =
            Array.append ((all ()).Slice(0, first).ToArray()) ((all ()).Slice(first + bytes).ToArray())

        Expect.all outside (fun b -> b = canary) "nothing is written before or after the buffer"

    interface IDisposable with
        member _.Dispose() = NativeMemory.AlignedFree(NativePtr.toVoidPtr start)

/// Random words; the same seed gives the same words.
let words (seed: uint64) count =
    let stream = RandomStream.OfSeed seed
    Array.init count (fun _ -> stream.Bits())

/// Random packed signs, rows × ⌈channels/64⌉ words; bits past the last channel are 0.
let signs seed rows channels =
    let perRow = (channels + 63) / 64
    let values = words seed (rows * perRow)

    if channels % 64 <> 0 then
        for row in 1..rows do
            values[row * perRow - 1] <- values[row * perRow - 1] &&& ((1UL <<< (channels % 64)) - 1UL)

    values

/// Packs booleans, rows × channels; true is +1.
let pack channels (values: bool[]) =
    let perRow = (channels + 63) / 64
    let words = Array.zeroCreate<uint64>(values.Length / channels * perRow)

    values
    |> Array.iteri (fun i plus ->
        if plus then
            let word, bit = i / channels * perRow + i % channels / 64, i % channels % 64
            words[word] <- words[word] ||| (1UL <<< bit))

    words

/// Whether the packed sign of a channel in a row is +1.
let isPlus (words: uint64[]) row channels channel =
    words[row * ((channels + 63) / 64) + channel / 64] >>> (channel % 64) &&& 1UL = 1UL

/// Checks a property of random values.
let forAll count values property =
    Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(count).WithQuietOnSuccess true,
        Prop.forAll (Arb.fromGen values) property
    )

/// One test per instruction set; skipped if the processor does not support the set.
let testEverySet name (body: InstructionSet -> unit) =
    testList
        name
        [ for set in Enum.GetValues<InstructionSet>() ->
              testCase $"{set}" (fun () ->
                  if InstructionSets.IsSupported set then
                      body set
                  else
                      skiptest $"this processor does not have {set}") ]
