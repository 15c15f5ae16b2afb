/// Packed signs, bit by bit.
module NormFree.Tests.Kernels.PackingTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Data
open NormFree.Kernels.Bits
open NormFree.Tests.Kernels.Support

/// Values near the threshold, where rounding decides: multiples of 2⁻²⁴ around −b/β, and the odd ones out.
let private values seed count =
    let stream = RandomStream.OfSeed seed
    let odd = [| 0.0f; -0.0f; nanf; infinityf; -infinityf; 1e-45f; -1e-45f |]

    Array.init count (fun _ ->
        match stream.Below 8 with
        | 0 -> odd[stream.Below odd.Length]
        | 1
        | 2 -> float32 (stream.Below 2001 - 1000) * 5.9604645e-8f + 0.31f
        | _ -> float32 (stream.Below 200_001 - 100_000) * 1e-5f)

let private expected (x: float32[]) channels (scale: float32) (shift: float32[] option) =
    let perPixel = (channels + 63) / 64
    let words = Array.zeroCreate<uint64>(x.Length / channels * perPixel)

    x
    |> Array.iteri (fun i x ->
        let pixel, channel = i / channels, i % channels
        // A product of its own, as a float32.
        let product: float32 = x * scale

        let t =
            match shift with
            | Some b -> product + b[channel]
            | None -> product

        if t >= 0.0f then
            let word = pixel * perPixel + channel / 64
            words[word] <- words[word] ||| (1UL <<< (channel % 64)))

    words

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
        [ testEverySet "signs of β·x + b, rounded twice" (fun set ->
              for i, channels in List.indexed [ 1; 3; 4; 15; 31; 32; 33; 63; 64; 65; 96; 127; 128; 192; 256; 3072 ] do
                  for scale in [ 1.0f; 0.98058069f; -0.7f ] do
                      let x = values (uint64 i) (11 * channels)
                      // Some of the shifts put the threshold where the values lie close together.
                      let shift = values (uint64 i + 100UL) channels |> Array.map (fun b -> b - 0.31f * scale)

                      for shift in [ Some shift; None ] do
                          Expect.equal
                              (packed set x channels scale shift)
                              (expected x channels scale shift)
                              $"{channels} channels, β = {scale}, shift {shift.IsSome}")

          testEverySet "the sign of 0 is +, of either zero; of NaN −" (fun set ->
              Expect.equal (packed set [| 0.0f; -0.0f; nanf; -1e-45f |] 4 1.0f None) [| 0b0011UL |] "without shift"
              Expect.equal (packed set [| 1.0f; -1.0f |] 2 1.0f (Some [| -1.0f; 1.0f |])) [| 0b11UL |] "with shift") ]
