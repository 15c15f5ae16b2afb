/// Fused layers without gradients, in a row, and in other modes.
module NormFree.Tests.Torch.FusedModeTests

open Expecto
open NormFree.Data
open NormFree.Torch
open NormFree.Torch.Fused
open NormFree.Torch.Layers
open NormFree.Tests.Golden
open NormFree.Tests.Torch.FusedLayers
open TorchSharp

/// Two consecutive layers: the first keeps the channels, the second doubles them.
let private twoLayers (case: Case) =
    let first = { case with ShortcutKind = Itself; Stride = 1; In = 16; Outs = [ 16 ] }
    let second = { first with Kernel = 1; ShortcutKind = Repeated; Outs = [ 16; 16 ] }
    first, second

let tests =
    [ for name, case in typical do
          test $"without gradients a layer computes the same bits: {name}" {
              use _ = torch.NewDisposeScope()
              let inputs = inputs 1L case
              let training = fused case inputs
              Expect.isTrue training.requires_grad "with gradients"

              let evaluated =
                  use _ = torch.no_grad ()
                  fused case inputs

              Expect.isFalse evaluated.requires_grad "without"
              sameBits "no_grad" evaluated training

              for _, leaf in inputs.Leaves do
                  leaf.requires_grad <- false

              let frozen =
                  fused case { inputs with X = inputs.X.detach (); Shortcut = inputs.Shortcut |> Option.map _.detach() }

              Expect.isFalse frozen.requires_grad "frozen"
              sameBits "nothing requires gradients" frozen training
          }

          test $"parameters need not be contiguous: {name}" {
              use _ = torch.NewDisposeScope()
              let plain, strided = inputs 7L case, inputs 7L case

              let spread (parameter: torch.Tensor) =
                  torch.stack([| parameter; parameter.detach().neg() |], -1L).select(-1L, 0L)

              let p = strided.Parameters
              let all tensors = tensors |> Seq.map spread |> Seq.toArray
              let parameters = BinaryLayerParameters(spread p.Shift, all p.Weights, all p.Gains, all p.Activation)
              sameBits "y" (run case { strided with Parameters = parameters }) (run case plain)

              for (name, a), (_, b) in List.zip (gradientsOf strided) (gradientsOf plain) do
                  sameBits name a b
          }

          test $"a frozen tensor gets no gradient and does not change the others' gradients: {name}" {
              use _ = torch.NewDisposeScope()
              let all = inputs 2L case
              run case all |> ignore
              let names: string list = List.map fst all.Leaves

              for frozen in [ for name in names -> [ name ] ] @ [ for name in names -> List.except [ name ] names ] do
                  let some = inputs 2L case

                  for name, leaf in some.Leaves do
                      if List.contains name frozen then
                          leaf.requires_grad <- false

                  // A tensor derived from x before freezing would still require a gradient.
                  let some = if List.contains "x" frozen then { some with X = some.X.detach () } else some

                  let some =
                      if List.contains "shortcut" frozen then
                          { some with Shortcut = some.Shortcut |> Option.map _.detach() }
                      else
                          some

                  run case some |> ignore

                  for (name, leaf), (_, whole) in List.zip some.Leaves all.Leaves do
                      if List.contains name frozen then
                          Expect.isNull leaf.grad $"{name}, frozen {frozen}"
                      else
                          sameBits $"{name}, frozen {frozen}" (Agreement.gradient leaf) (Agreement.gradient whole)
          }

          test $"a repeated step gives the same bits: {name}" {
              use _ = torch.NewDisposeScope()
              let one, two = inputs 3L case, inputs 3L case
              sameBits "y" (run case one) (run case two)

              for (name, a), (_, b) in List.zip (gradientsOf one) (gradientsOf two) do
                  sameBits name a b
          }

          test $"two consecutive layers equal the composite ones: {name}" {
              use _ = torch.NewDisposeScope()
              let first, second = twoLayers case

              let make seed =
                  let one, two = inputs seed first, inputs (seed + 500L) second

                  one,
                  two,
                  [ for name, leaf in one.Leaves -> "first " + name, leaf ]
                  @ [ for name, leaf in two.Leaves.Tail -> "second " + name, leaf ]

              let compose (one, two, _) =
                  let y, arguments = composite first one
                  let z, more = composite second { two with X = y }
                  let signs = LearnableShift.Apply(y.Times(float beta), two.Parameters.Shift)
                  z, torch.cat ([| for part in [ arguments; more; signs ] -> part.reshape -1L |], 0L)

              let ours, theirs = awayFromKink 4L make (compose >> snd), awayFromKink 4L make (compose >> snd)
              let one, two, leaves = ours
              let y = fused second { two with X = fused first one }
              let expected, _ = compose theirs
              close values "y" y expected
              backward ChannelsLast y
              backward ChannelsLast expected
              let _, _, expectedLeaves = theirs
              gradientsAgree "two layers" { one with Leaves = leaves } { one with Leaves = expectedLeaves }
          }

          test $"gradients of the two halves of a batch add up to those of the batch: {name}" {
              use _ = torch.NewDisposeScope()
              let case = { case with Batch = 4; Input = Contiguous; Gradient = Contiguous }
              let whole, halves = inputs 5L case, inputs 5L case
              run case whole |> ignore
              let height, width = case.OutSide
              let _, gradient = map Contiguous 99L (4, case.Out, height, width)

              for first in [ 0L; 2L ] do
                  let half (map: torch.Tensor) = map.narrow (0L, first, 2L)
                  let y = fused case { halves with X = half halves.X; Shortcut = Option.map half halves.Shortcut }
                  y.backward [| (half gradient).detach() |]
                  FusedBackward.End()

              gradientsAgree "two halves" halves whole
          } ]
