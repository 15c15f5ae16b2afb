/// The optimiser kernels against torch's operators.
module NormFree.Tests.Torch.OptimiserKernelTests

open System
open Expecto
open NormFree.Torch.Training
open NormFree.Torch.Training.Optimisers
open NormFree.Tests.Golden
open NormFree.Tests.Kernels.Comparison
open NormFree.Tests.Kernels.OptimiserKernelTests
open TorchSharp

let private leaf (shape: int64 list) (values: float32[]) =
    new Modules.Parameter(torch.tensor(values).reshape [| for side in shape -> side |], true)

/// The same values in channels-last strides, if there are four axes.
let private restrided (tensor: torch.Tensor) =
    if tensor.dim () = 4L then
        tensor.permute(0L, 2L, 3L, 1L).contiguous().permute(0L, 3L, 1L, 2L)
    else
        tensor

let private onTorch =
    [ for name, make in
          [ "Adam", fun p composite -> new Adam(p, false, Composite = composite) :> ParameterOptimiser
            "AdamW", fun p composite -> new Adam(p, true, Composite = composite)
            "SGD", fun p composite -> new Sgd(p, 0.9, Composite = composite) ] do
          test $"{name} on the kernels equals {name} on torch's operators" {
              use _ = torch.NewDisposeScope()
              let random = Random 29
              let starts = [ for shape in shapes -> shape, randoms random 1.0 (sizeOf shape) ]
              let fused, composite = [ for s, p in starts -> leaf s p ], [ for s, p in starts -> leaf s p ]

              let optimiser parameters isComposite =
                  make
                      [| for i, p in List.indexed parameters ->
                             OptimisedParameter($"p{i}", p, decayOf i, rateFactorOf i) |]
                      isComposite

              use ours = optimiser fused false
              use oracle = optimiser composite true

              for step in 1..steps do
                  for i, (a, b) in List.indexed (List.zip fused composite) do
                      // Every third parameter has no gradient in the first step.
                      if step > 1 || i % 3 > 0 then
                          let gradient = torch.tensor(randoms random 1.0 (int (a.numel ()))).reshape a.shape
                          a.grad <- restrided gradient
                          b.grad <- gradient

                  ours.Step rate
                  oracle.Step rate

              for i, (a, b) in List.indexed (List.zip fused composite) do
                  Agreement.allClose rounding a (Agreement.values b) $"{name}: parameter {i}"
          }

      for what, change in [ "contiguous", id; "strided", restrided ] do
          test $"clipping many parameters with {what} gradients equals clipping each" {
              use _ = torch.NewDisposeScope()
              let random = Random 31

              let inputs =
                  [ for shape in shapes do
                        for scale in [ 0.0; 1e-4; 1.0 ] do
                            shape, randoms random scale (sizeOf shape), randoms random 0.02 (sizeOf shape) ]

              let leaves dtype =
                  [| for shape, p, g in inputs do
                         let tensor = (leaf shape p).``to``(dtype: torch.ScalarType).detach().requires_grad_ true
                         let gradient = torch.tensor(g).reshape(tensor.shape).``to`` dtype
                         tensor.grad <- change gradient
                         tensor
                     (leaf [ 3L ] [| 1f; 2f; 3f |]).``to``(dtype).detach() |]

              let together, each = leaves torch.ScalarType.Float32, leaves torch.ScalarType.Float64
              let counts = AdaptiveGradientClipping.Clip(together, 0.02)
              let expected = [| for tensor in each -> AdaptiveGradientClipping.Clip(tensor, 0.02) |]
              Expect.equal counts expected "counts"

              for a, b in Seq.zip (Seq.truncate inputs.Length together) each do
                  Agreement.allClose
                      rounding
                      (Agreement.gradient a)
                      (Agreement.values (Agreement.gradient b))
                      "gradient"
          } ]

let tests = testSequenced (testList "optimiser kernels" onTorch)
