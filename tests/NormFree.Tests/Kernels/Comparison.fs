/// What tests of kernels on floats share.
module NormFree.Tests.Kernels.Comparison

open System
open Expecto
open NormFree.Tests.Golden

/// Relative to the largest value of a tensor: a few roundings of floats.
let rounding = 1e-6

/// Compares all values; the errors allowed are relative to the largest one.
let allClose tolerance (expected: float[]) (actual: float32[]) what =
    Expect.hasLength actual expected.Length what
    let largest = max 1e-30 (expected |> Array.map abs |> Array.max)

    for i in 0 .. expected.Length - 1 do
        // NaN is not close to anything.
        if not (abs (float actual[i] - expected[i]) <= tolerance * largest) then
            Agreement.close tolerance largest (float actual[i]) expected[i] $"{what}[{i}]"

/// What makes −0 differ from 0, and no NaN from itself.
let bits (values: float32[]) = values |> Array.map BitConverter.SingleToInt32Bits

/// Normally distributed numbers.
let randoms (random: Random) scale count =
    let normal _ = sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())

    Array.init count (fun i -> float32 (scale * normal i))
