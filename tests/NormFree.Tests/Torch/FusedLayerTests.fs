/// Compares fused layers with composite ones, which autograd differentiates.
module NormFree.Tests.Torch.FusedLayerTests

open System
open Expecto
open NormFree.Data
open NormFree.Torch
open NormFree.Torch.Fused
open NormFree.Torch.Layers
open NormFree.Tests.Golden
open NormFree.Tests.Torch.FusedLayers
open TorchSharp

let private agreement =
    [ for kind in everyKind do
          test $"a layer equals the composite one: {describe kind}" {
              for i, case in List.indexed (cases kind) do
                  use _ = torch.NewDisposeScope()
                  let make seed = inputs seed case
                  let ours = awayFromKink (int64 (20 * i)) make (fun inputs -> snd (composite case inputs))
                  let theirs = awayFromKink (int64 (20 * i)) make (fun inputs -> snd (composite case inputs))
                  let y = fused case ours
                  let expected, _ = composite case theirs
                  close values $"{case}" y expected
                  backward case.Gradient y
                  backward case.Gradient expected
                  gradientsAgree $"{case}" ours theirs
          }

          test $"a convolution equals the composite one: {describe kind}" {
              for i, case in List.indexed (cases kind) do
                  use _ = torch.NewDisposeScope()

                  let make () =
                      let inputs = inputs (int64 (20 * i)) case
                      let unused = [ "shortcut"; "b1"; "slope"; "b2" ]

                      { inputs with
                          Leaves = inputs.Leaves |> List.filter (fun (name, _) -> not (List.contains name unused)) }

                  let ours, theirs = make (), make ()
                  let y = FusedBinaryConvolution.Apply(options case, ours.X, ours.Parameters)
                  let expected = compositeConvolution case theirs.X theirs.Parameters
                  close values $"{case}" y expected
                  backward case.Gradient y
                  backward case.Gradient expected
                  gradientsAgree $"{case}" ours theirs
          } ]

let private activation =
    [ for kind in [ Itself; Given ] do
          test $"an activation after a sum equals the composite one: shortcut {kind}" {
              for i, case in List.indexed (cases (false, false, Given)) do
                  use _ = torch.NewDisposeScope()

                  let make seed =
                      let inputs = inputs seed case
                      let height, width = case.OutSide
                      let leaf, branch = map case.Gradient (7L * seed) (case.Batch, case.Out, height, width)
                      let shortcut = if kind = Itself then branch else Option.get inputs.Shortcut
                      let used = (if kind = Given then [ "shortcut" ] else []) @ [ "b1"; "slope"; "b2" ]
                      let leaves = inputs.Leaves |> List.filter (fun (name, _) -> List.contains name used)

                      { inputs with X = branch; Shortcut = Some shortcut; Leaves = ("branch", leaf) :: leaves }

                  let sum inputs = inputs.X.Plus(Option.get inputs.Shortcut)
                  let arguments inputs = LearnableShift.Apply(sum inputs, inputs.Parameters.Activation[0])

                  let ours, theirs =
                      awayFromKink (int64 (20 * i)) make arguments, awayFromKink (int64 (20 * i)) make arguments

                  let y =
                      ResidualRPReLU.Apply("the layer", ours.X, Option.get ours.Shortcut, ours.Parameters.Activation)

                  let p = theirs.Parameters.Activation
                  let expected = RPReLUActivation.Apply(sum theirs, p[0], p[1], p[2])
                  close values $"{case}" y expected
                  backward case.Gradient y
                  backward case.Gradient expected
                  gradientsAgree $"{case}" ours theirs
          }

      test "branch and shortcut own their gradients: a second backward pass accumulates into each once" {
          use _ = torch.NewDisposeScope()

          let leaf seed =
              let _, values = map ChannelsLast seed (2, 8, 4, 4)
              values.detach().requires_grad_ true

          let branch, shortcut = leaf 1L, leaf 2L
          let parameters = (inputs 3L { snd typical.Head with In = 8; Outs = [ 8 ] }).Parameters.Activation

          for _ in 1..2 do
              ResidualRPReLU.Apply("the layer", branch, shortcut, parameters) |> backward ChannelsLast

          let once = Agreement.gradient (parameters[2])
          Expect.isTrue (once.numel () > 0L) "gradients"
          sameBits "branch and shortcut" (Agreement.gradient branch) (Agreement.gradient shortcut)
          let twice = Agreement.gradient branch |> Agreement.values
          branch.grad <- null
          ResidualRPReLU.Apply("the layer", branch, shortcut, parameters) |> backward ChannelsLast
          let single = Agreement.gradient branch |> Agreement.values
          Expect.equal twice (Array.map (fun g -> 2.0 * g) single) "twice the gradient of one pass"
      } ]

// ---- Shortcuts ----

/// Tolerance for bfloat16: 8 bits of precision, and both operands are rounded.
let private bfloat16Tolerance = 2e-2

let private shortcuts =
    [ for kernel in [ 1; 2; 3 ] do
          test $"pooling with kernel {kernel} equals the composite one" {
              for i, (c, (h, w)) in List.indexed (List.allPairs [ 1; 7; 64; 64 + 3 ] [ 6, 6; 7, 5; 3, 3 ]) do
                  for layout in layouts do
                      use _ = torch.NewDisposeScope()
                      let ours, x = map layout (int64 i) (2, c, h, w)
                      let theirs, same = map layout (int64 i) (2, c, h, w)
                      let y = FusedPooledShortcut.Apply("pool", x, 0.9, kernel)
                      let expected = torch.nn.functional.avg_pool2d (same.Times 0.9, kernel, kernel)
                      let what = $"{c} channels, {h}×{w}, {layout}"
                      close values what y expected
                      backward layouts[i % 5] y
                      backward layouts[i % 5] expected
                      close gradients $"{what}, gradient" (Agreement.gradient ours) (Agreement.gradient theirs)

                      let evaluated =
                          use _ = torch.no_grad ()
                          FusedPooledShortcut.Apply("pool", x, 0.9, kernel)

                      sameBits "without gradients" evaluated y
          }

      for standardised in [ false; true ] do
          let options (c: int) (o: int) =
              BinaryConvolutionOptions("the shortcut", c, [| o |], 1, 1, 0, 1.0f, standardised, true, factor)

          let make seed layout (c: int) (o: int) =
              let leaf, x = map layout seed (3, c, 5, 6)
              let weight = parameter (seed + 1L) 1.0f 0.01f [ o; c; 1; 1 ]

              let gain =
                  if standardised then
                      Some(parameter (seed + 2L) 0.5f 1.0f [ o; 1; 1; 1 ])
                  else
                      None

              x, weight, gain, [ leaf; weight ] @ Option.toList gain

          let ours x weight gain (c: int) (o: int) =
              let gain: torch.Tensor | null = Option.toObj gain
              BinaryFilterConvolution.Apply(options c o, x, weight, gain)

          test $"real maps times binary filters equal the composite convolution: standardised {standardised}" {
              for i, (c, o) in List.indexed (List.allPairs [ 5; 32 - 1; 64; 64 + 3 ] [ 1; 32 + 1; 64; 128 + 3 ]) do
                  use _ = torch.NewDisposeScope()
                  let x, weight, gain, leaves = make (int64 i) layouts[i % 5] c o
                  let y = ours x weight gain c o
                  let same, weight, gain, expectedLeaves = make (int64 i) layouts[i % 5] c o
                  let composite = ConvolutionOptions(1, 0, standardised, true, float factor)
                  let gain: torch.Tensor | null = Option.toObj gain
                  let expected = Convolution.Apply(same, weight, gain, &composite)
                  let what = $"{c} to {o} channels"
                  close values what y expected
                  backward layouts[i / 4 % 5] y
                  backward layouts[i / 4 % 5] expected

                  for actual, expected in List.zip leaves expectedLeaves do
                      close gradients $"{what}, gradient" (Agreement.gradient actual) (Agreement.gradient expected)
          }

          test $"a shortcut's convolution rejects tensors of the wrong type or shape: standardised {standardised}" {
              use _ = torch.NewDisposeScope()
              let x, weight, gain, _ = make 1L Contiguous 8 6

              for rejected in
                  [ fun () -> ours (x.``to`` torch.ScalarType.Float64) weight gain 8 6
                    fun () -> ours x (weight.``to`` torch.ScalarType.Float64) gain 8 6
                    fun () -> ours (x.narrow (1L, 0L, 7L)) weight gain 8 6
                    fun () -> ours x (weight.narrow (0L, 0L, 5L)) gain 8 6
                    fun () -> ours x weight (if standardised then None else Some weight) 8 6 ] do
                  let message =
                      Expect.throwsC (rejected >> ignore) (fun failure ->
                          Expect.equal (failure.GetType()) typeof<ArgumentException> "type"
                          failure.Message)

                  Expect.stringContains message "the shortcut" "the message"
          }

      test "pooling rejects float64 maps" {
          use _ = torch.NewDisposeScope()
          let _, x = map Contiguous 1L (1, 4, 4, 4)

          Expect.throwsT<ArgumentException>
              (fun () -> FusedPooledShortcut.Apply("pool", x.``to`` torch.ScalarType.Float64, 1.0, 2) |> ignore)
              "float64"

          Expect.isTrue (torch.is_grad_enabled ()) "gradients are still recorded"
      }

      test "a real convolution in bfloat16 equals the float32 one up to rounding" {
          use _ = torch.NewDisposeScope()
          let leaf, x = map ChannelsLast 1L (2, 16, 6, 6)
          let same, copy = map ChannelsLast 1L (2, 16, 6, 6)
          let weight, weightToo = parameter 2L 0.2f 0.0f [ 8; 16; 3; 3 ], parameter 2L 0.2f 0.0f [ 8; 16; 3; 3 ]
          let options = ConvolutionOptions(1, 1)
          let y = Convolution.ApplyInBFloat16(x, weight, null, &options)
          let expected = Convolution.Apply(copy, weightToo, null, &options)
          Expect.equal y.dtype torch.ScalarType.Float32 "type"
          close bfloat16Tolerance "y" y expected
          backward ChannelsLast y
          backward ChannelsLast expected
          close bfloat16Tolerance "dx" (Agreement.gradient leaf) (Agreement.gradient same)
          close bfloat16Tolerance "dw" (Agreement.gradient weight) (Agreement.gradient weightToo)
      }

      for name, case in typical do
          test $"a layer in bfloat16 equals the float32 one up to rounding: {name}" {
              use _ = torch.NewDisposeScope()
              // Gradients are discontinuous at kinks, and bfloat16 rounding crosses many.
              let inputs = inputs 1L case
              let y = apply (optionsIn FusedPrecision.BFloat16 case) inputs
              Expect.equal y.dtype torch.ScalarType.Float32 "type"
              close bfloat16Tolerance "y" y (fused case inputs)
              backward case.Gradient y

              for name, gradient in gradientsOf inputs do
                  Expect.all (Agreement.values gradient) Double.IsFinite name
          } ]

let tests =
    testList
        "fused layers"
        [ testList "agreement" agreement
          testList "activation" activation
          testList "shortcuts" shortcuts
          testList "modes" FusedModeTests.tests ]
