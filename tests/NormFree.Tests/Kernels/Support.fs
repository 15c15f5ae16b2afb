/// Guarded memory, packed signs and test builders for kernel tests.
module NormFree.Tests.Kernels.Support

#nowarn "9" // Kernels work on addresses.

open System
open System.Threading
open Expecto
open FsCheck
open FsCheck.FSharp
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Simd
open NormFree.Tests.Kernels.GuardPages

let private canary = 0xA5uy

let mutable private allocated = 0

/// Unmanaged memory beside a guard page (<see cref="GuardedPages"/>); <c>Check</c> fails if a kernel wrote to the rest of the pages.
/// Every other buffer ends at its guard page, and the others start at it, so that kernels meet both; <c>misalignment</c> bytes are between them.
type Guarded<'T when 'T: unmanaged and 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType>
    (length: int, misalignment: int) =
    let bytes = length * sizeof<'T>
    let pages = new GuardedPages(bytes + misalignment)

    let first =
        if Interlocked.Increment &allocated % 2 = 0 then
            misalignment
        else
            pages.Size - bytes - misalignment

    let all () = Span<byte>(NativePtr.toVoidPtr pages.Start, pages.Size)
    do (all ()).Fill canary

    new(values: 'T[]) as guarded =
        new Guarded<'T>(values.Length, 0)
        then values.AsSpan().CopyTo guarded.Span

    member _.Pointer: nativeptr<'T> =
        NativePtr.add pages.Start first |> NativePtr.toVoidPtr |> NativePtr.ofVoidPtr

    member b.Span = Span<'T>(NativePtr.toVoidPtr b.Pointer, length)
    member b.Values = b.Span.ToArray()

    member _.Check() =
        let isUntouched =
            (all ()).Slice(0, first).IndexOfAnyExcept canary < 0
            && (all ()).Slice(first + bytes).IndexOfAnyExcept canary < 0

        Expect.isTrue isUntouched "nothing is written before or after the buffer"

    interface IDisposable with
        member _.Dispose() = (pages :> IDisposable).Dispose()

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
