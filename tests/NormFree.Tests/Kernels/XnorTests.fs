/// The XNOR convolution equals its reference implementation exactly.
module NormFree.Tests.Kernels.XnorTests

#nowarn "9" // Kernels work on addresses.

open System
open Expecto
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Memory
open NormFree.Tests.Kernels.BinaryCases
open NormFree.Tests.Kernels.Support

let private actual set case =
    let activations, filters = inputs case
    use activations = new Guarded<uint64>(activations)
    use signs = new Guarded<uint64>(filters)
    let mutable shape = case.Shape
    use filters = XnorFilters.Create(&shape, signs.Pointer, case.Padding)
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

let tests =
    testList
        "XNOR convolution"
        [ testEverySet "equals the reference on Larq's test matrix" (fun set ->
              for case, expected in Matrix.cases.Value do
                  agrees case (actual set case) expected)

          testEverySet "equals the reference on random shapes, including padding wider than the filter" (fun set ->
              forAll 60 random (fun case -> agrees case (actual set case) (expected case)))

          testEverySet "equals the reference for numbers of words around the capacity of the counters" (fun set ->
              for words in [ 1..40 ] @ [ 495; 496; 510; 511; 512; 527; 1022; 1023 ] do
                  let case = case (shape (1, 1, 3, 64 * words - words % 3, 9, 1, 0))
                  agrees case (actual set case) (expected case))

          testEverySet "counters do not overflow when every bit differs" (fun set ->
              for words in [ 16; 36; 511; 512; 1100 ] do
                  let mutable shape = shape (1, 1, 2, 64 * words, 8, 1, 0)
                  use activations = new Guarded<uint64>(Array.create (2 * words) UInt64.MaxValue)
                  use signs = new Guarded<uint64>(Array.zeroCreate (8 * words))
                  use filters = XnorFilters.Create(&shape, signs.Pointer)
                  use target = new Guarded<int>(16, 0)
                  let scratch = Scratch.OfThread(XnorConvolution.ScratchBytes &shape)
                  let convolution = XnorConvolution.For set
                  let mutable row = OutputRange.Rows(&shape, 0, 1)
                  convolution.Compute(&shape, 0, &row, activations.Pointer, filters, scratch, target.Pointer)
                  Expect.all target.Values (fun sum -> sum = -64 * words) $"{words} words")

          test "Fill replaces the signs of filters" {
              let case = case (shape (1, 4, 5, 70, 11, 3, 1))
              let other = { case with Seed = 77UL }
              let mutable shape = case.Shape
              let activations, signs = inputs other
              use activations = new Guarded<uint64>(activations)
              use old = new Guarded<uint64>(snd (inputs case))
              use fresh = new Guarded<uint64>(signs)
              use filters = XnorFilters.Create(&shape, old.Pointer)
              filters.Fill fresh.Pointer
              use target = new Guarded<int>(shape.OutPixels * shape.Out, 0)
              let scratch = Scratch.OfThread(XnorConvolution.ScratchBytes &shape)

              let mutable rows = OutputRange.Rows(&shape, 0, shape.OutHeight)
              XnorConvolution.Best.Compute(&shape, 0, &rows, activations.Pointer, filters, scratch, target.Pointer)

              Expect.equal target.Values (expected other) "results with the new filters"
          }
          test "filters of other sizes are rejected" {
              let mutable prepared = shape (1, 4, 5, 70, 11, 3, 1)
              let mutable other = shape (1, 4, 5, 70, 11, 1, 0)
              use signs = new Guarded<uint64>(signs 1UL (11 * 9) 70)
              use filters = XnorFilters.Create(&prepared, signs.Pointer)
              use target = new Guarded<int>(other.OutPixels * other.Out, 0)
              let scratch = Scratch.OfThread(XnorConvolution.ScratchBytes &other)

              let rejected =
                  try
                      let mutable rows = OutputRange.Rows(&other, 0, 4)
                      XnorConvolution.Best.Compute(&other, 0, &rows, signs.Pointer, filters, scratch, target.Pointer)
                      false
                  with :? ArgumentException ->
                      true

              Expect.isTrue rejected "filters of a larger kernel"
          } ]
