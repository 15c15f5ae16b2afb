/// Sizes, tolerances and random layers for the tests of activations.
module NormFree.Tests.Kernels.ActivationSupport

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open NormFree.Data
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support

/// Tolerance of float32 sums over pixels, relative to the sum of absolute values.
let sumRounding = 1e-6

/// Tolerance of a value whose steps are rounded in another order.
let lastBits = 5e-7

/// Sizes around multiples of vectors (4, 8, 16) and of words (64).
let channels =
    [ 1; 3; 4; 4 + 3; 8; 8 + 7; 16; 16 + 1; 32 - 1; 32; 32 + 1; 64; 64 + 1; 64 + 32; 128 + 3 ]

let pixels = [ 0; 1; 2; 5 ]

/// Compares bit by bit; all NaNs are equal.
let exact what (actual: float32[]) (expected: float32[]) =
    let oneNaN = Array.map (fun v -> if Single.IsNaN v then nanf else v)
    sameBits what (oneNaN actual) (oneNaN expected)

type Layer =
    { Pixels: int
      Channels: int
      ShortcutChannels: int
      ShiftIn: float32[]
      Slope: float32[]
      ShiftOut: float32[]
      Accumulators: int[]
      Scale: float32[]
      Branch: float32[]
      Shortcut: float32[] }

let layer seed pixels channels shortcutChannels =
    let stream = RandomStream.OfKeys(11L, seed)
    let reals = Shapes.reals

    { Pixels = pixels
      Channels = channels
      ShortcutChannels = shortcutChannels
      ShiftIn = reals (seed + 1L) channels
      Slope = reals (seed + 2L) channels
      ShiftOut = reals (seed + 3L) channels
      Accumulators = Array.init (pixels * channels) (fun _ -> stream.Below 9217 - 4608)
      Scale = reals (seed + 4L) channels |> Array.map (fun s -> s * 1e-3f)
      Branch = reals (seed + 5L) (pixels * channels)
      Shortcut = reals (seed + 6L) (pixels * shortcutChannels) }

let special =
    [| 0.0f; -0.0f; nanf; infinityf; -infinityf; Single.MaxValue; Single.Epsilon; -Single.Epsilon |]

let withSpecial (values: float32[]) =
    values |> Array.mapi (fun i v -> if i % 3 = 0 then special[i / 3 % special.Length] else v)
