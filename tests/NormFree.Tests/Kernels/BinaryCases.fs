/// Binary convolutions for the tests of XNOR and packed kernels, with their expected results.
module NormFree.Tests.Kernels.BinaryCases

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open FsCheck.FSharp
open NormFree.Kernels.Convolutions
open NormFree.Tests.Kernels.Support

/// A convolution; the output rows are split at <c>Cut</c> into two calls.
type Case = { Shape: ConvolutionShape; Padding: PaddingValue; Cut: int; Seed: uint64 }

let inputs case =
    let shape = case.Shape

    signs case.Seed shape.InPixels shape.In, signs (case.Seed + 1UL) (shape.Out * shape.Taps) shape.In

let expected case =
    let activations, filters = inputs case
    use activations = new Guarded<uint64>(activations)
    use filters = new Guarded<uint64>(filters)
    use target = new Guarded<int>(case.Shape.OutPixels * case.Shape.Out, 0)
    let mutable shape = case.Shape
    ReferenceConvolution.Xnor(&shape, activations.Pointer, filters.Pointer, case.Padding, target.Pointer)
    target.Check()
    target.Values

/// Fails at the first result that is not the expected one.
let agrees case (actual: int[]) (expected: int[]) =
    if actual <> expected then
        let at = Seq.zip actual expected |> Seq.findIndex (fun (a, b) -> a <> b)
        failtest $"{case}: result {at} is {actual[at]}, should be {expected[at]}"

/// The test matrix of Larq's binary convolution, and maps down to 1×1.
module Matrix =
    let channels = [ 1; 3; 4; 31; 32; 33; 64; 96; 128; 192; 256; 512; 3072 ]
    let kernels = [ 1, 1; 3, 3; 5, 5; 2, 3 ]
    let strides = [ 1, 1; 2, 2; 2, 3 ]
    let paddings = [ Some PaddingValue.Zero; Some PaddingValue.One; None ]
    let maps = [ 1, 1; 2, 2; 3, 4; 7, 6; 9, 5 ]
    let batches = [ 1; 2; 3 ]
    let outputs = [ 1; 3; 8; 12; 17 ]

    let case i (c, (kh, kw), (sy, sx), padding) ((h, w), batch, o) =
        let pad k = if Option.isSome padding then k / 2 else 0
        let shape = ConvolutionShape(batch, h, w, c, o, kh, kw, sy, sx, pad kh, pad kw)
        let fits = h + 2 * shape.PadY >= kh && w + 2 * shape.PadX >= kw

        if fits then
            Some
                { Shape = shape
                  Padding = defaultArg padding PaddingValue.Zero
                  Cut = i % (shape.OutHeight + 1)
                  Seed = uint64 i }
        else
            None

    let layers =
        List.allPairs (List.allPairs channels kernels) (List.allPairs strides paddings) |> Shapes.everyNth

    let sizes =
        [ for map in maps do
              for batch in batches do
                  for o in outputs -> map, batch, o ]

    /// The full product takes minutes, so the layers alternate between sizes unless NORMFREE_TEST_WHOLE_MATRIX is set.
    let cases =
        lazy
            (let all = not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable "NORMFREE_TEST_WHOLE_MATRIX"))

             [ for i, ((c, kernel), (stride, padding)) in List.indexed layers do
                   let layer = c, kernel, stride, padding

                   if all then
                       yield! sizes |> List.mapi (fun j size -> case (i + j) layer size) |> List.choose id
                   else
                       // 31 and 75 are coprime, so every size is used. Sizes smaller than the filter are skipped.
                       yield!
                           Seq.init sizes.Length (fun j -> case i layer sizes[(i + j) * 31 % sizes.Length])
                           |> Seq.tryPick id
                           |> Option.toList ]
             |> List.map (fun case -> case, expected case))

let random =
    gen {
        let! shape = Shapes.random 400 20
        let! padding = Gen.elements [ PaddingValue.Zero; PaddingValue.One ]
        let! cut = Gen.choose (0, shape.OutHeight)
        let! seed = Gen.choose (0, 1_000_000)
        return { Shape = shape; Padding = padding; Cut = cut; Seed = uint64 seed }
    }

let shape (batch, h, w, c, o, k, pad) = ConvolutionShape(batch, h, w, c, o, k, k, 1, 1, pad, pad)

let case shape = { Shape = shape; Padding = PaddingValue.Zero; Cut = 1; Seed = 9UL }
