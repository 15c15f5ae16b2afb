/// Channel scales, centring, moments and pooling against their formulas.
module NormFree.Tests.Kernels.ScalingTests

#nowarn "9" // Kernels work on addresses.

open Expecto
open Microsoft.FSharp.NativeInterop
open NormFree.Kernels.Activations
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.Support
open NormFree.Tests.Kernels.ActivationSupport

let tests =
    testList
        "scaling"
        [ testEverySet "ScaleIntegers multiplies integers by the scale of their channel" (fun set ->
              for c in channels do
                  for p in pixels do
                      let layer = layer (int64 c) p c c
                      use integers = new Guarded<int>(layer.Accumulators)
                      use scale = new Guarded<float32>(layer.Scale)
                      use values = new Guarded<float32>(p * c, 4)
                      (ChannelScale.For set).ScaleIntegers(p, c, integers.Pointer, scale.Pointer, values.Pointer)
                      values.Check()
                      let product i integer : float32 = float32 integer * layer.Scale[i % c]
                      exact $"{p} pixels, {c} channels" values.Values (Array.mapi product layer.Accumulators))

          testEverySet "ScaleFloats multiplies floats by the scale of their channel, for any pixel stride" (fun set ->
              for c in channels do
                  for p in pixels do
                      for stride in [ c; (c + 63) / 64 * 64 ] do
                          let source = Shapes.reals (int64 c) (p * stride)
                          let factors = Shapes.reals 3L c
                          use values = new Guarded<float32>(source)
                          use scale = new Guarded<float32>(factors)
                          use target = new Guarded<float32>(p * c, 4)
                          let kernel = ChannelScale.For set
                          kernel.ScaleFloats(p, c, values.Pointer, stride, scale.Pointer, target.Pointer)
                          target.Check()
                          let product i : float32 = source[i / c * stride + i % c] * factors[i % c]
                          exact $"{p} pixels, {c} channels, stride {stride}" target.Values (Array.init (p * c) product))

          testEverySet "ChannelCentering subtracts the mean of each pixel's channels" (fun set ->
              for c in channels do
                  for p in pixels do
                      let source = Shapes.reals (int64 c) (p * c)
                      use values = new Guarded<float32>(source)
                      (ChannelCentering.For set).Center(p, c, values.Pointer)
                      values.Check()

                      let expected i =
                          let pixel = Array.sub source (i / c * c) c |> Array.map float

                          struct (float source[i] - Array.average pixel,
                                  abs (float source[i]) + Array.averageBy abs pixel)

                      nearSums rounding $"{p} pixels, {c} channels" values.Values (Array.init (p * c) expected))

          testEverySet "ChannelMoments are sums and sums of squares by channel" (fun set ->
              for c in [ 1; 15; 16; 16 + 1; 64 + 3 ] do
                  for p in [ 1; 16; 300 ] do
                      let source = Shapes.reals (int64 c) (p * c)
                      use values = new Guarded<float32>(source)
                      use sums = new Guarded<float32>(2 * c, 4)
                      (ChannelMoments.For set).Sum(p, c, values.Pointer, sums.Pointer)
                      sums.Check()

                      let expected power =
                          [| for channel in 0 .. c - 1 ->
                                 let values = [| for pixel in 0 .. p - 1 -> float source[pixel * c + channel] |]
                                 struct (Array.sumBy power values, Array.sumBy (power >> abs) values) |]

                      nearSums
                          2e-6
                          $"{p} pixels, {c} channels"
                          sums.Values
                          (Array.append (expected id) (expected (fun x -> x * x))))

          testEverySet "ScaledAveragePool is a scaled mean over windows, with its gradient" (fun set ->
              let kernel = ScaledAveragePool.For set

              for c in channels do
                  for side in [ 1; 2; 3 ] do
                      for width in [ side; 2 * side; 3 * side + 1; 4 * side + (side - 1) ] do
                          let what = $"{c} channels, {width} pixels by {side}"
                          let columns, factor = width / side, 0.9f / float32 (side * side)
                          let rows = Shapes.reals (int64 c) (side * width * c)
                          use source = new Guarded<float32>(rows)
                          use target = new Guarded<float32>(columns * c, 4)
                          kernel.Forward(width, c, side, factor, source.Pointer, target.Pointer)
                          target.Check()

                          let terms at =
                              [ for row in 0 .. side - 1 do
                                    for column in 0 .. side - 1 ->
                                        let x = rows[(row * width + at / c * side + column) * c + at % c]
                                        float factor * float x ]

                          Array.init (columns * c) (fun at -> struct (List.sum (terms at), List.sumBy abs (terms at)))
                          |> nearSums lastBits what target.Values

                          let gradient = Shapes.reals 4L (columns * c)
                          use dy = new Guarded<float32>(gradient)
                          use dx = new Guarded<float32>(width * c, 8)
                          dx.Span.Fill nanf
                          kernel.Backward(width, c, side, factor, dy.Pointer, dx.Pointer)
                          dx.Check()

                          let expected i =
                              let pixel = i / c

                              let value: float32 =
                                  factor * gradient[min (gradient.Length - 1) (pixel / side * c + i % c)]

                              if pixel < columns * side then value else 0.0f

                          exact $"dx, {what}" dx.Values (Array.init (width * c) expected)
                          kernel.Backward(width, c, side, factor, NativePtr.nullPtr, dx.Pointer)
                          dx.Check()
                          exact $"dx past the last window, {what}" dx.Values (Array.zeroCreate (width * c))) ]
