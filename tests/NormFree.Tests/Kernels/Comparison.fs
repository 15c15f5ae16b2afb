/// Comparisons of float results.
module NormFree.Tests.Kernels.Comparison

open System
open Expecto
open NormFree.Tests.Golden

/// A few float roundings, relative to the largest value of a tensor.
let rounding = 1e-6

/// Compares all values; the tolerance is relative to the largest one.
let allClose tolerance (expected: float[]) (actual: float32[]) what =
    Expect.hasLength actual expected.Length what
    let largest = max 1e-30 (expected |> Array.map abs |> Array.max)

    for i in 0 .. expected.Length - 1 do
        // Also fails for NaN.
        if not (abs (float actual[i] - expected[i]) <= tolerance * largest) then
            Closeness.close tolerance largest (float actual[i]) expected[i] $"{what}[{i}]"

/// Bit patterns: −0 differs from 0, and NaN equals itself.
let bits (values: float32[]) = values |> Array.map BitConverter.SingleToInt32Bits

/// Compares bit by bit.
let sameBits what (actual: float32[]) (expected: float32[]) =
    match Seq.zip (bits actual) (bits expected) |> Seq.tryFindIndex (fun (a, b) -> a <> b) with
    | Some at -> failtest $"{what}: value {at} is {actual[at]}, should be {expected[at]}"
    | None -> Expect.equal actual.Length expected.Length what

/// Compares with exact sums; the tolerance is relative to the sum of absolute values, the second component.
let nearSums tolerance what (actual: float32[]) (expected: struct (float * float)[]) =
    Expect.equal actual.Length expected.Length what

    for i in 0 .. actual.Length - 1 do
        let struct (sum, size) = expected[i]

        if not (abs (float actual[i] - sum) <= tolerance * size) then
            failtest $"{what}: value {i} is {actual[i]}, should be {sum} (the sum of absolute values is {size})"

/// Normally distributed numbers.
let randoms (random: Random) scale count =
    let normal _ = sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())

    Array.init count (fun i -> float32 (scale * normal i))
