/// Shapes and tolerances for the tests of lookup tables.
module NormFree.Tests.Kernels.LookupSupport

#nowarn "9" // Kernels work on addresses.

open Expecto
open NormFree.Kernels.Convolutions
open NormFree.Kernels.Threads
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support

/// Tolerance of float32 sums, relative to the sum of absolute values.
let near = nearSums 2e-6

let anyShape count check = forAll count (Shapes.random 140 70) check

let one = OneThread.Instance :> IWorkers

/// Shapes for tests of all splits: odd strides, halos on both sides, columns without a source.
let splitShapes =
    [ for (h, w), (kh, kw), (sy, sx), pad in
          [ (7, 6), (3, 3), (1, 1), 1
            (7, 6), (3, 3), (2, 2), 1
            (9, 5), (5, 5), (2, 3), 2
            (6, 7), (1, 1), (2, 2), 0
            (5, 9), (2, 3), (3, 1), 2 ] -> ConvolutionShape(2, h, w, 32 + 3, 16 + 5, kh, kw, sy, sx, pad, pad) ]

/// More output pixels than the tables of one pass cover (1024), and more filters than a task has (16).
let large =
    [ ConvolutionShape(3, 19, 20, 32 + 1, 16 + 1, 3, 3, 1, 1, 1, 1)
      ConvolutionShape(2, 23, 23, 3, 32 + 2, 1, 1, 1, 1, 0, 0)
      ConvolutionShape(1, 32, 32, 4, 16, 1, 1, 1, 1, 0, 0) ]
