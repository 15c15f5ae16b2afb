/// Comparisons of float64 values with golden values.
module NormFree.Tests.Golden.Agreement

open Expecto
open TorchSharp

/// Relative error between two float64 implementations of the same formulas.
let tight = 1e-9

/// Relative error after a few optimiser steps, which amplify differences.
let afterSteps = 1e-7

/// Expects |a − b| ≤ tolerance·max(|b|, floor). The floor is the magnitude of the values that b was computed from.
let close tolerance floor (actual: float) (expected: float) what =
    let allowed = tolerance * max (abs expected) floor

    Expect.isTrue
        (abs (actual - expected) <= allowed)
        $"{what}: {actual:R} instead of {expected:R} (difference {abs (actual - expected)}, allowed {allowed})"

/// The gradient after a backward pass.
let gradient (tensor: torch.Tensor) =
    match tensor.grad with
    | null -> failtest "no gradient"
    | gradient -> gradient

let values (tensor: torch.Tensor) =
    tensor.detach().reshape(-1L).``to``(torch.ScalarType.Float64).data<float>().ToArray()

let allClose tolerance (actual: torch.Tensor) (expected: float[]) what =
    let actual = values actual
    Expect.hasLength actual expected.Length what
    let floor = expected |> Array.map abs |> Array.max

    Array.zip actual expected |> Array.iteri (fun i (a, e) -> close tolerance floor a e $"{what}[{i}]")
