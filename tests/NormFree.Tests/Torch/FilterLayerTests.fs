/// The filter kernels against the composite layers, with gradients by autograd.
module NormFree.Tests.Torch.FilterLayerTests

open Expecto
open NormFree.Kernels.Filters
open NormFree.Kernels.Threads
open NormFree.Torch.Layers
open NormFree.Tests.Golden
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.FilterTests
open NormFree.Tests.Kernels.Support
open TorchSharp

/// Compares with the composite layers on the same weight.
let private agreesWithComposite dtype tolerance set case =
    use _ = torch.NewDisposeScope()
    let bank = case.Bank
    let side = int64 (sqrt (float bank.Taps))
    let weight, gain, gradient = inputs 7 case
    let result = run set OneThread.Instance case weight gain gradient

    let leaf (values: float32[]) shape =
        torch
            .tensor(values)
            .reshape([| for side in shape -> side |])
            .``to``(dtype: torch.ScalarType)
            .detach()
            .requires_grad_
            true

    let w = leaf weight [ int64 bank.Out; int64 bank.In; side; side ]
    let g = leaf gain [ int64 bank.Out; 1; 1; 1 ]
    let options = ConvolutionOptions(1, 0, bank.Standardised, case.Binary, float bank.Factor)
    let gains: torch.Tensor | null = if case.Gain then g else null
    let used = Convolution.EffectiveWeight(w, gains, &options)

    used.backward
        [| torch.tensor(Array.init weight.Length (fun i -> gradient[indexOf case i])).reshape(w.shape).``to`` dtype |]

    let expected = Agreement.values used
    let what = $"{case} ({dtype})"

    // Equal weights have sign 0 in torch, or the sign of a rounding error of the mean, so they are not compared.
    let comparable =
        expected
        |> Array.mapi (fun i value -> if i / bank.Size = 1 then float (filterValue case result i) else value)

    allClose tolerance comparable (Array.init weight.Length (filterValue case result)) $"{what}: filter"
    allClose tolerance (Agreement.values (Agreement.gradient w)) result.Gradient $"{what}: dw"

    if case.Gain then
        allClose (10.0 * tolerance) (Agreement.values (Agreement.gradient g)) result.GainGradient $"{what}: dgain"

let private composites =
    [ for binary, standardised, gain in kinds do
          // No layer has a gain without standardisation.
          if gain = standardised then
              for channels, taps in [ 4, 9; 64 + 3, 9; 96, 1; 512, 9 ] do
                  { Bank = FilterBank(5, channels, taps, standardised, 1.25f)
                    Binary = binary
                    Gain = gain
                    Layout = FilterLayout.ChannelsLast } ]

let tests =
    testList
        "filter kernels"
        [ testEverySet "agree with the composite layers in floats" (fun set ->
              composites |> List.iter (agreesWithComposite torch.ScalarType.Float32 gradientRounding set))
          testEverySet "agree with the composite layers in doubles" (fun set ->
              composites |> List.iter (agreesWithComposite torch.ScalarType.Float64 gradientRounding set)) ]
