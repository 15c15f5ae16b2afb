/// Sign packing against a plain loop, bit by bit.
module NormFree.Tests.Kernels.PackingTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Bits
open NormFree.Tests.Kernels.Support

/// Values near the threshold −b/β, where rounding decides (multiples of 2⁻²⁴), and special values.
let private values seed count =
    let stream = RandomStream.OfSeed seed
    let special = [| 0.0f; -0.0f; nanf; infinityf; -infinityf; 1e-45f; -1e-45f |]

    Array.init count (fun _ ->
        match stream.Below 8 with
        | 0 -> special[stream.Below special.Length]
        | 1
        | 2 -> float32 (stream.Below 2001 - 1000) * 5.9604645e-8f + 0.31f
        | _ -> float32 (stream.Below 200_001 - 100_000) * 1e-5f)

let private expected (x: float32[]) channels (scale: float32) (shift: float32[] option) =
    x
    |> Array.mapi (fun i x ->
        // Rounded to float32 before the sum.
        let product: float32 = x * scale

        match shift with
        | Some b -> product + b[i % channels] >= 0.0f
        | None -> product >= 0.0f)
    |> pack channels

let private packed set (x: float32[]) channels scale (shift: float32[] option) =
    let pixels = x.Length / channels
    let perPixel = SignPacking.Words channels
    use source = new Guarded<float32>(x)
    use shifts = new Guarded<float32>(defaultArg shift [||])
    use target = new Guarded<uint64>(pixels * perPixel, 8)
    let packing = SignPacking.For set
    let cut = pixels / 3

    for first, last in [ 0, cut; cut, pixels ] do
        packing.Pack(
            NativePtr.add source.Pointer (first * channels),
            int64 (last - first),
            channels,
            scale,
            (if shift.IsSome then shifts.Pointer else NativePtr.nullPtr),
            NativePtr.add target.Pointer (first * perPixel)
        )

    target.Check()
    target.Values

let tests =
    testList
        "packing"
        [ testEverySet "packs the signs of β·x + b, rounded twice" (fun set ->
              for i, channels in List.indexed [ 1; 3; 4; 15; 31; 32; 33; 63; 64; 65; 96; 127; 128; 192; 256; 3072 ] do
                  for scale in [ 1.0f; 0.98058069f; -0.7f ] do
                      let x = values (uint64 i) (11 * channels)
                      // Some shifts move the threshold to the dense range of values.
                      let shift = values (uint64 i + 100UL) channels |> Array.map (fun b -> b - 0.31f * scale)

                      for shift in [ Some shift; None ] do
                          Expect.equal
                              (packed set x channels scale shift)
                              (expected x channels scale shift)
                              $"{channels} channels, β = {scale}, shift {shift.IsSome}")

          testEverySet "0 and −0 pack as +1, NaN as −1" (fun set ->
              Expect.equal (packed set [| 0.0f; -0.0f; nanf; -1e-45f |] 4 1.0f None) [| 0b0011UL |] "without shift"
              Expect.equal (packed set [| 1.0f; -1.0f |] 2 1.0f (Some [| -1.0f; 1.0f |])) [| 0b11UL |] "with shift") ]
