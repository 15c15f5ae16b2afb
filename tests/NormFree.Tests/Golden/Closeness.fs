/// Comparisons of float64 numbers.
module NormFree.Tests.Golden.Closeness

open Expecto

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
