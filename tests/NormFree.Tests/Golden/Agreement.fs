/// Comparisons of float64 values with golden ones.
module NormFree.Tests.Golden.Agreement

open Expecto
open TorchSharp

/// Relative error that two float64 implementations of the same formulas may have.
let tight = 1e-9

/// After a few optimiser steps, which amplify differences.
let afterSteps = 1e-7

/// Both empty of each other's error: |a − b| ≤ tolerance·max(|b|, floor); the floor is the size of the numbers that b came from.
let close tolerance floor (actual: float) (expected: float) what =
    let allowed = tolerance * max (abs expected) floor

    Expect.isTrue
        (abs (actual - expected) <= allowed)
        $"{what}: {actual:R} where {expected:R} is expected (difference {abs (actual - expected)}, allowed {allowed})"

/// The gradient that a backward pass has left.
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
