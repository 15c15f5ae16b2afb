/// The XNOR convolution against its plain loops: exact.
module NormFree.Tests.Kernels.XnorTests

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Tests.Kernels.Support

/// A convolution, what taps outside the map contribute, and where the rows are cut for two calls.
type Case = { Shape: ConvolutionShape; Outside: OutsideTaps; Cut: int; Seed: uint64 }

let private inputs case =
    let shape = case.Shape

    signs case.Seed shape.InPixels shape.In, signs (case.Seed + 1UL) (shape.Out * shape.Taps) shape.In

let private expected case =
    let activations, filters = inputs case
    use activations = new Guarded<uint64>(activations)
    use filters = new Guarded<uint64>(filters)
    use target = new Guarded<int>(case.Shape.OutPixels * case.Shape.Out, 0)
    let mutable shape = case.Shape
    ReferenceConvolution.Xnor(&shape, activations.Pointer, filters.Pointer, case.Outside, target.Pointer)
    target.Check()
    target.Values

let private actual set case =
    let activations, filters = inputs case
    use activations = new Guarded<uint64>(activations)
    use signs = new Guarded<uint64>(filters)
    let mutable shape = case.Shape
    use filters = PreparedFilters.From(&shape, signs.Pointer, case.Outside)
    let convolution = XnorConvolution.For set

    [| for image in 0 .. shape.Batch - 1 do
           for first, last in [ 0, case.Cut; case.Cut, shape.OutHeight ] do
               use target = new Guarded<int>((last - first) * shape.OutWidth * shape.Out, 4)
               let scratch = Scratch.OfThread(XnorConvolution.ScratchBytes &shape)

               let mutable rows = OutputRange.Rows(&shape, first, last - first)
               convolution.Compute(&shape, image, &rows, activations.Pointer, filters, scratch, target.Pointer)

               target.Check()
               target.Values |]
    |> Array.concat

let private agrees set case numbers =
    let found = actual set case

    if found <> numbers then
        let differs = Seq.zip found numbers |> Seq.findIndex (fun (a, b) -> a <> b)
        failtest $"{case}: number {differs} is {found[differs]}, should be {numbers[differs]}"

/// Larq's matrix: what its binary convolution is tested with, and maps down to 1×1.
module private Matrix =
    let channels = [ 1; 3; 4; 31; 32; 33; 64; 96; 128; 192; 256; 512; 3072 ]
    let kernels = [ 1, 1; 3, 3; 5, 5; 2, 3 ]
    let strides = [ 1, 1; 2, 2; 2, 3 ]
    let paddings = [ Some OutsideTaps.Zero; Some OutsideTaps.One; None ]
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
                  Outside = defaultArg padding OutsideTaps.Zero
                  Cut = i % (shape.OutHeight + 1)
                  Seed = uint64 i }
        else
            None

    let layers = List.allPairs (List.allPairs channels kernels) (List.allPairs strides paddings)

    let sizes =
        [ for map in maps do
              for batch in batches do
                  for o in outputs -> map, batch, o ]

    /// All of it takes minutes, so each layer meets one size after the other, unless the environment asks for the whole product.
    let cases =
        lazy
            (let all = not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable "NORMFREE_TEST_WHOLE_MATRIX"))

             [ for i, ((c, kernel), (stride, padding)) in List.indexed layers do
                   let layer = c, kernel, stride, padding

                   if all then
                       yield! sizes |> List.mapi (fun j size -> case (i + j) layer size) |> List.choose id
                   else
                       // 31 and 75 sizes have no common divisor: all of them have their turn. Sizes that do not fit are passed over.
                       yield!
                           Seq.init sizes.Length (fun j -> case i layer sizes[(i + j) * 31 % sizes.Length])
                           |> Seq.tryPick id
                           |> Option.toList ]
             |> List.map (fun case -> case, expected case))

let private shapes =
    gen {
        let! kernel = Gen.choose (1, 5) |> Gen.two
        let! stride = Gen.choose (1, 3) |> Gen.two
        let! pad = Gen.choose (0, 3) |> Gen.two
        let! height = Gen.choose (max 1 (fst kernel - 2 * fst pad), 9)
        let! width = Gen.choose (max 1 (snd kernel - 2 * snd pad), 9)
        let! batch = Gen.choose (1, 3)
        let! input = Gen.choose (1, 400)
        let! output = Gen.choose (1, 20)
        let! outside = Gen.elements [ OutsideTaps.Zero; OutsideTaps.One ]

        let shape =
            ConvolutionShape(
                batch,
                height,
                width,
                input,
                output,
                fst kernel,
                snd kernel,
                fst stride,
                snd stride,
                fst pad,
                snd pad
            )

        let! cut = Gen.choose (0, shape.OutHeight)
        let! seed = Gen.choose (0, 1_000_000)

        return { Shape = shape; Outside = outside; Cut = cut; Seed = uint64 seed }
    }

let private shape (batch, h, w, c, o, k, pad) = ConvolutionShape(batch, h, w, c, o, k, k, 1, 1, pad, pad)

let private case shape = { Shape = shape; Outside = OutsideTaps.Zero; Cut = 1; Seed = 9UL }

let tests =
    testList
        "XNOR convolution"
        [ testEverySet "Larq's matrix" (fun set ->
              for case, numbers in Matrix.cases.Value do
                  agrees set case numbers)

          testEverySet "any shape, padding wider than the filter included" (fun set ->
              let property = Prop.forAll (Arb.fromGen shapes) (fun case -> agrees set case (expected case))
              Check.One(Config.QuickThrowOnFailure.WithMaxTest(60).WithQuietOnSuccess true, property))

          testEverySet "every number of words up to those that a counter holds, and beyond" (fun set ->
              for words in [ 1..40 ] @ [ 495; 496; 510; 511; 512; 527; 1022; 1023 ] do
                  let case = case (shape (1, 1, 3, 64 * words - words % 3, 9, 1, 0))
                  agrees set case (expected case))

          testEverySet "counters that are full: every bit differs" (fun set ->
              for words in [ 16; 36; 511; 512; 1100 ] do
                  let mutable shape = shape (1, 1, 2, 64 * words, 8, 1, 0)
                  use activations = new Guarded<uint64>(Array.create (2 * words) UInt64.MaxValue)
                  use signs = new Guarded<uint64>(Array.zeroCreate (8 * words))
                  use filters = PreparedFilters.From(&shape, signs.Pointer)
                  use target = new Guarded<int>(16, 0)
                  let scratch = Scratch.OfThread(XnorConvolution.ScratchBytes &shape)
                  let convolution = XnorConvolution.For set
                  let mutable row = OutputRange.Rows(&shape, 0, 1)
                  convolution.Compute(&shape, 0, &row, activations.Pointer, filters, scratch, target.Pointer)
                  Expect.all target.Values (fun sum -> sum = -64 * words) $"{words} words")

          test "filters can be filled again" {
              let case = case (shape (1, 4, 5, 70, 11, 3, 1))
              let other = { case with Seed = 77UL }
              let mutable shape = case.Shape
              let activations, signs = inputs other
              use activations = new Guarded<uint64>(activations)
              use old = new Guarded<uint64>(snd (inputs case))
              use fresh = new Guarded<uint64>(signs)
              use filters = PreparedFilters.From(&shape, old.Pointer)
              filters.Fill fresh.Pointer
              use target = new Guarded<int>(shape.OutPixels * shape.Out, 0)
              let scratch = Scratch.OfThread(XnorConvolution.ScratchBytes &shape)

              let mutable rows = OutputRange.Rows(&shape, 0, shape.OutHeight)
              XnorConvolution.Best.Compute(&shape, 0, &rows, activations.Pointer, filters, scratch, target.Pointer)

              Expect.equal target.Values (expected other) "the second filters' numbers"
          }
          test "filters of other sizes are refused" {
              let mutable prepared = shape (1, 4, 5, 70, 11, 3, 1)
              let mutable other = shape (1, 4, 5, 70, 11, 1, 0)
              use signs = new Guarded<uint64>(signs 1UL (11 * 9) 70)
              use filters = PreparedFilters.From(&prepared, signs.Pointer)
              use target = new Guarded<int>(other.OutPixels * other.Out, 0)
              let scratch = Scratch.OfThread(XnorConvolution.ScratchBytes &other)

              let refused =
                  try
                      let mutable rows = OutputRange.Rows(&other, 0, 4)
                      XnorConvolution.Best.Compute(&other, 0, &rows, signs.Pointer, filters, scratch, target.Pointer)
                      false
                  with :? ArgumentException ->
                      true

              Expect.isTrue refused "they were made for a larger kernel"
          } ]
