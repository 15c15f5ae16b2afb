/// Compares layers with scalar loops, and their gradients with central differences.
module NormFree.Tests.Torch.LayerTests

open System
open Expecto
open NormFree.Torch.Layers
open NormFree.Tests.Golden
open TorchSharp
open NormFree.Tests.Torch.LayerSupport

let private sign x = float (Math.Sign(x: float))

/// Zero padding: taps outside x contribute 0.
let private naiveConvolution (n, i, h, w) (x: float[]) (o, k) (weight: float[]) stride padding =
    let oh, ow = (h + 2 * padding - k) / stride + 1, (w + 2 * padding - k) / stride + 1

    [| for b in 0 .. n - 1 do
           for f in 0 .. o - 1 do
               for y in 0 .. oh - 1 do
                   for z in 0 .. ow - 1 do
                       let mutable sum = 0.0

                       for c in 0 .. i - 1 do
                           for dy in 0 .. k - 1 do
                               for dx in 0 .. k - 1 do
                                   let py, px = y * stride + dy - padding, z * stride + dx - padding

                                   if py >= 0 && py < h && px >= 0 && px < w then
                                       sum <-
                                           sum
                                           + x[((b * i + c) * h + py) * w + px]
                                             * weight[((f * i + c) * k + dy) * k + dx]

                       sum |]

/// (w − mean)/(std + 1e-5)/√fan_in.
let private naiveStandardised (filter: float[]) =
    let mean = Array.average filter
    let std = sqrt (filter |> Array.averageBy (fun v -> (v - mean) ** 2.0))
    filter |> Array.map (fun v -> (v - mean) / (std + 1e-5) / sqrt (float filter.Length))

/// s·sign(v).
let private naiveBinary (filter: float[]) =
    let scale = filter |> Array.averageBy abs
    filter |> Array.map (fun v -> scale * sign v)

let private perFilter filters change (weight: float[]) = weight |> Array.splitInto filters |> Array.collect change

let private convolutionProperty =
    testPropertyWithConfig repeatedly "a convolution equals its loops: signs first, then zero padding"
    <| fun (seed: int) standardised binary ->
        use _ = torch.NewDisposeScope()
        let random = Random seed
        let n, i, o = 1 + random.Next 2, 1 + random.Next 3, 1 + random.Next 3
        let h, w, k = 3 + random.Next 4, 3 + random.Next 4, (if random.Next 2 = 0 then 1 else 3)

        let stride, padding, factor =
            1 + random.Next 2, random.Next 2, (if random.Next 2 = 0 then 1.0 else 1.25)
        // The standard deviation of a filter of one weight is rounding noise.
        let i = if k = 1 then i + 1 else i

        let x, weight, gain =
            values seed (n * i * h * w), values (seed + 1) (o * i * k * k), values (seed + 2) o

        let used =
            weight
            |> (if standardised then perFilter o naiveStandardised else id)
            |> (if binary then perFilter o naiveBinary else id)
            |> Array.mapi (fun at v -> factor * v * (if standardised then gain[at / (i * k * k)] else 1.0))

        let options = ConvolutionOptions(stride, padding, standardised, binary, factor)
        let gains: torch.Tensor | null = if standardised then tensor [ o; 1; 1; 1 ] gain else null
        let signs = ApproximateSign.Apply(leaf [ n; i; h; w ] x)
        let y = Convolution.Apply(signs, tensor [ o; i; k; k ] weight, gains, &options)
        same y (naiveConvolution (n, i, h, w) (Array.map sign x) (o, k) used stride padding) "y"

let private weights =
    testList
        "weights"
        [ testPropertyWithConfig repeatedly "standardised filters have mean 0 and variance 1/fan_in"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let o, i, k = 3, 4, 3
              let result = WeightStandardisation.Apply(tensor [ o; i; k; k ] (values seed (o * i * k * k)))

              for filter in Array.splitInto o (Agreement.values result) do
                  let mean = Array.average filter
                  let variance = filter |> Array.averageBy (fun v -> (v - mean) ** 2.0)
                  Closeness.close 1e-12 1.0 mean 0.0 "mean"
                  // ε = 1e-5 added to a deviation of about 1 changes the variance by 2e-5.
                  Closeness.close 1e-4 0.0 variance (1.0 / float (i * k * k)) "variance"

          testPropertyWithConfig repeatedly "a binary filter is its mean absolute value times its signs"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let weight = values seed (3 * 2 * 3 * 3)

              same
                  (BinaryWeight.Apply(tensor [ 3; 2; 3; 3 ] weight))
                  (perFilter 3 naiveBinary weight)
                  "without gradient"

              same (BinaryWeight.Apply(leaf [ 3; 2; 3; 3 ] weight)) (perFilter 3 naiveBinary weight) "with gradient"

          test "a binary filter's gradient passes for −1 ≤ v ≤ 1, both ends included" {
              use _ = torch.NewDisposeScope()
              let v = leaf [ 1; 5; 1; 1 ] [| -1.5; -1.0; 0.0; 1.0; 1.5 |]
              (BinaryWeight.Apply v).sum().backward()
              Expect.equal (Agreement.values (Agreement.gradient v)) [| 0.0; 1.0; 1.0; 1.0; 0.0 |] "dv"
          }

          testPropertyWithConfig repeatedly "binary filters on a centered map are zero-mean filters on the map"
          <| fun (seed: int) standardised ->
              use _ = torch.NewDisposeScope()
              let (n, i, h, w), o = (2, 5, 3, 4), 3

              let x, weight, gain = values seed (n * i * h * w), values (seed + 1) (o * i), values (seed + 2) o

              let zeroMean (filter: float[]) =
                  let binary = naiveBinary filter
                  binary |> Array.map (fun v -> v - Array.average binary)

              let used =
                  weight
                  |> (if standardised then perFilter o naiveStandardised else id)
                  |> perFilter o zeroMean
                  |> Array.mapi (fun at v -> 1.25 * v * (if standardised then gain[at / i] else 1.0))

              let options = ConvolutionOptions(1, 0, standardised, true, 1.25)
              let gains: torch.Tensor | null = if standardised then tensor [ o; 1; 1; 1 ] gain else null
              let centered = ChannelMeanSubtraction.Apply(tensor [ n; i; h; w ] x)
              let y = Convolution.Apply(centered, tensor [ o; i; 1; 1 ] weight, gains, &options)
              same y (naiveConvolution (n, i, h, w) x (o, 1) used 1 0) "y"

          testPropertyWithConfig { repeatedly with maxTest = 5 } "the centering's gradient"
          <| fun (seed: int) ->
              checkGradients "centering" [ [ 2; 3; 2; 2 ], values seed 24 ] (fun leaves ->
                  weighted (ChannelMeanSubtraction.Apply leaves.Head))

          testPropertyWithConfig repeatedly "both forms of zero-mean filters have the same gradients"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let (n, i, h, w), o = (2, 5, 3, 4), 3
              let values = values seed (n * i * h * w), values (seed + 1) (o * i)

              let gradients (form: torch.Tensor -> torch.Tensor -> torch.Tensor) =
                  let x, weight = leaf [ n; i; h; w ] (fst values), leaf [ o; i; 1; 1 ] (snd values)
                  (weighted (form x weight)).backward()
                  Agreement.gradient x, Agreement.values (Agreement.gradient weight)

              let onMap, ofMap =
                  gradients (fun x weight ->
                      torch.nn.functional.conv2d (ChannelMeanSubtraction.Apply x, BinaryWeight.Apply weight))

              let onFilters, ofFilters =
                  gradients (fun x weight ->
                      let binary = BinaryWeight.Apply weight
                      torch.nn.functional.conv2d (x, binary - binary.mean ([| 1L; 2L; 3L |], keepdim = true)))

              same onMap (Agreement.values onFilters) "dx"
              Expect.isTrue (Array.forall2 (fun a b -> abs (a - b: float) < 1e-12) ofMap ofFilters) "dw"

          testPropertyWithConfig { repeatedly with maxTest = 5 } "the standardisation's gradient"
          <| fun (seed: int) ->
              let input = [ 2; 2; 3; 3 ], values seed 36

              checkGradients "standardisation" [ input ] (fun leaves ->
                  weighted (WeightStandardisation.Apply leaves.Head))

          test "a filter of equal weights is standardised to 0, and its gradient is finite" {
              use _ = torch.NewDisposeScope()
              let weight = leaf [ 2; 2; 1; 1 ] [| 0.5; 0.5; 0.5; -0.5 |]
              let y = WeightStandardisation.Apply weight
              Expect.equal (Array.truncate 2 (Agreement.values y)) [| 0.0; 0.0 |] "the filter"
              (weighted y).backward()
              Expect.all (Agreement.values (Agreement.gradient weight)) Double.IsFinite "dw"
          }

          test "a gain without standardisation is rejected, and standardisation without a gain" {
              use _ = torch.NewDisposeScope()
              let weight, gain = tensor [ 1; 1; 1; 1 ] [| 1.0 |], tensor [ 1; 1; 1; 1 ] [| 1.0 |]

              let reject standardised (gain: torch.Tensor | null) =
                  let options = ConvolutionOptions(1, 0, standardised)
                  Convolution.EffectiveWeight(weight, gain, &options) |> ignore

              Expect.throwsT<ArgumentException> (fun () -> reject false gain) "unexpected gain"
              Expect.throwsT<ArgumentException> (fun () -> reject true null) "missing gain"
          } ]

let private naiveRPReLU channels area (x: float[]) (b1: float[]) (a: float[]) (b2: float[]) =
    x
    |> Array.mapi (fun i v ->
        let c = i / area % channels
        let u = v + b1[c]
        (if u > 0.0 then u else a[c] * u) + b2[c])

let private activations =
    testList
        "activations"
        [ test "the approximate sign's gradient is 2 − 2·|x| on [−1, 1) and 0 beyond" {
              use _ = torch.NewDisposeScope()
              let x = [| -2.0; -1.0000001; -1.0; -0.75; -0.25; 0.0; 0.25; 0.75; 1.0; 1.0000001; 2.0 |]
              let input = leaf [ x.Length ] x
              let y = ApproximateSign.Apply input
              Expect.equal (Agreement.values y) (Array.map sign x) "y"
              y.sum().backward()
              let expected = x |> Array.map (fun v -> if v >= -1.0 && v < 1.0 then 2.0 - 2.0 * abs v else 0.0)
              same (Agreement.gradient input) expected "dx"
          }

          testPropertyWithConfig repeatedly "float32 signs are exactly −1, 0 and 1, with and without gradient"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let random = Random seed

              let special = [| 0.0f; -0.0f; Single.Epsilon; -Single.Epsilon; Single.MaxValue; Single.MinValue |]
              let any _ = float32 ((random.NextDouble() - 0.5) * 10.0 ** float (random.Next(-40, 38)))
              let x = Array.append special (Array.init 200 any)

              let expected = x |> Array.map (fun v -> float32 (Math.Sign v))
              let input = torch.tensor x
              Expect.equal (ApproximateSign.Apply(input).data<float32>().ToArray()) expected "without gradient"
              let traced = ApproximateSign.Apply(input.requires_grad_ true)
              Expect.equal (traced.detach().data<float32>().ToArray()) expected "with gradient"

          testPropertyWithConfig repeatedly "RPReLU equals its scalar formula"
          <| fun (seed: int) ->
              use _ = torch.NewDisposeScope()
              let n, c, h, w = 2, 3, 4, 5

              let x, b1, a, b2 =
                  values seed (n * c * h * w), values (seed + 1) c, values (seed + 2) c, values (seed + 3) c

              let channels values = tensor [ 1; c; 1; 1 ] values
              let y = RPReLUActivation.Apply(tensor [ n; c; h; w ] x, channels b1, tensor [ c ] a, channels b2)
              same y (naiveRPReLU c (h * w) x b1 a b2) "y"

          testPropertyWithConfig { repeatedly with maxTest = 5 } "RPReLU's four gradients"
          <| fun (seed: int) ->
              let inputs =
                  [ [ 2; 2; 2; 2 ], values seed 16
                    [ 1; 2; 1; 1 ], values (seed + 1) 2
                    [ 2 ], values (seed + 2) 2
                    [ 1; 2; 1; 1 ], values (seed + 3) 2 ]

              checkGradients "RPReLU" inputs (fun leaves ->
                  weighted (RPReLUActivation.Apply(leaves[0], leaves[1], leaves[2], leaves[3])))

          test "powers of two round the exponent, and their gradient ignores the rounding" {
              use _ = torch.NewDisposeScope()
              let exponents = [| -3.0; -3.49; -3.51; -2.5; -0.2; 0.6; 2.0 |]
              let powers = [| 0.125; 0.125; 0.0625; 0.25; 1.0; 2.0; 4.0 |]
              let input = leaf [ exponents.Length ] exponents
              let y = PowerOfTwo.Apply input
              Expect.equal (Agreement.values y) powers "y"
              y.sum().backward()
              same (Agreement.gradient input) (powers |> Array.map (fun power -> power * log 2.0)) "dk"
          } ]

let tests =
    testList "layers" [ convolutionProperty; weights; activations; LossTests.tests; ClippingTests.tests ]
