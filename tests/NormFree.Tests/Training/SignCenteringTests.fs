/// Sign centering and stream centering (deviations 15 and 17).
module NormFree.Tests.Training.SignCenteringTests

open Expecto
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open NormFree.Tests.Telemetry
open NormFree.Tests.Training.Support
open TorchSharp

let private rate = 2e-3

/// Tolerance of a float32 parameter.
let private rounding = { absolute = 1e-7; relative = 1e-6 }
let private create dtype net = Network.create dtype Rule.Corrected 3L net

let private fill value (tensor: torch.Tensor) =
    use _ = torch.no_grad ()
    use filled = torch.full_like (tensor, value)
    tensor.copy_ filled |> ignore

/// Changes shifts, so that no channel is centred, and gains, so that signals grow a little in some layers and much in others.
let private disturb (network: Network) =
    let gains = [| 10.0; 1.0; 3.0; 0.5 |]

    for i, layer in List.indexed (SignLayers.ofNetwork network) do
        fill 0.1 layer.Shift.Value
        layer.Gains |> List.iter (fill gains[i % 4])

/// One forward pass and one update.
let private centerOnce recipe (network: Network) images =
    let centering = SignCentering(recipe, network)
    use _ = torch.no_grad ()
    network.Forward(images, Train, centering.Hook.ForwardHook 0).Dispose()
    centering.Hook.Passed 1.0
    centering.Apply(NormFree.Distributed.OneRank.Instance, rate) |> ignore

let private shifts (network: Network) =
    [ for layer in SignLayers.ofNetwork network -> Agreement.values layer.Shift.Value ]

/// The mean of each channel's sign argument, computed by loops from the layers' inputs.
let private means (network: Network) (images: torch.Tensor) =
    let ofLayer (layer: SignLayer) x =
        let means = (NaiveFigures.input x layer.Beta layer.Shift.Value).Mean
        Array.map2 (fun mean shift -> layer.Beta * mean + shift) means (Agreement.values layer.Shift.Value)

    SignLayers.evaluate network (SignLayers.ofNetwork network) ofLayer images |> List.map snd

/// The mean over channels of the variance of β·x, computed by loops.
let private variances (network: Network) (images: torch.Tensor) =
    let ofLayer (layer: SignLayer) x =
        layer.Beta * layer.Beta * Array.average (NaiveFigures.input x layer.Beta layer.Shift.Value).Variance

    SignLayers.evaluate network (SignLayers.ofNetwork network) ofLayer images |> List.map snd

/// The gains of all convolutions of each layer's block.
let private gains (network: Network) =
    [ for layer in SignLayers.ofNetwork network ->
          let block = layer.Name.Replace("binary_conv", "")

          [| for key, tensor in network.Tensors do
                 if key.StartsWith block && key.EndsWith ".gain" then
                     yield! Agreement.values tensor |] ]

/// The gains of shortcut convolutions.
let private shortcutGains (network: Network) =
    [ for key, tensor in network.Tensors do
          if key.EndsWith ".downsample.1.gain" then
              Agreement.values tensor ]

let private decay = 0.06 * rate / quick.LearningRate

let private streamDecay = decay * float quick.Batch / 64.0

let private without change = { quick with Deviations = change quick.Deviations }
let private signsOnly = without (fun d -> { d with StreamCentering = Rule.Published })
let private streamOnly = without (fun d -> { d with SignCentering = Rule.Published })

let private shiftUpdates =
    [ for dtype, execution in
          [ torch.ScalarType.Float32, Execution.Default
            torch.ScalarType.Float32, Execution.Portable
            torch.ScalarType.Float64, Execution.Portable ] do
          for norm in [ BnFree 0.2; Scaled 0.2 ] do
              test
                  $"{dtype}, {Json.name execution.Engine}, {Names.norm norm}: each shift moves against its channel's mean" {
                  use _ = torch.NewDisposeScope()
                  use network = create dtype (tiny norm) |> Network.running execution
                  disturb network
                  let images = images dtype "balance" 6
                  let before, means = shifts network, means network images
                  centerOnce signsOnly network images

                  for before, mean, after in List.zip3 before means (shifts network) do
                      for b, m, a in Array.zip3 before mean after do
                          Expect.floatClose rounding (a - b) (-decay * m) "move"

                  Expect.exists means (Array.exists (fun m -> abs m > 0.3)) "some channels are not centred"
              } ]

/// The channel means of every layer's input, computed by loops.
let private inputMeans (network: Network) (images: torch.Tensor) =
    let ofLayer (layer: SignLayer) x = (NaiveFigures.input x layer.Beta layer.Shift.Value).Mean
    SignLayers.evaluate network (SignLayers.ofNetwork network) ofLayer images |> List.map snd

/// By the names of a ReActNet's parameters: the last shift of each block, and whether its shortcut is the identity.
let private blocks (network: Network) =
    let tensors = dict network.Tensors

    [ for layer in SignLayers.ofNetwork network ->
          let block = layer.Name.Replace("binary_conv", "")
          Agreement.values tensors[block + "move2.bias"], not (tensors.ContainsKey(block + "downsample.1.weight")) ]

let private streamUpdates =
    [ for dtype, execution in
          [ torch.ScalarType.Float32, Execution.Default; torch.ScalarType.Float64, Execution.Portable ] do
          for norm in [ BnFree 0.2; Scaled 0.2 ] do
              test $"{dtype}, {Names.norm norm}: the last shift of each block takes off the mean that the block adds" {
                  use _ = torch.NewDisposeScope()
                  use network = create dtype (tiny norm) |> Network.running execution
                  disturb network
                  let images = images dtype "balance" 6
                  let before, means = blocks network, inputMeans network images
                  centerOnce streamOnly network images

                  // No layer measures the output of the last block.
                  let expected =
                      [ for (shift, isIdentity), (mean, next) in
                            List.zip (List.truncate (means.Length - 1) before) (List.pairwise means) ->
                            Array.mapi
                                (fun i b -> b - streamDecay * (if isIdentity then next[i] - mean[i] else next[i]))
                                shift ]
                      @ [ fst (List.last before) ]

                  for expected, (after, _) in List.zip expected (blocks network) do
                      Array.iter2 (fun e a -> Expect.floatClose rounding a e "last shift") expected after

                  Expect.exists before (snd >> not) "a shortcut that is not the identity"
              }

              test $"{dtype}, {Names.norm norm}: shifts before signs keep the sign of what the stream loses" {
                  use _ = torch.NewDisposeScope()
                  use network = create dtype (tiny norm) |> Network.running execution
                  disturb network
                  let images = images dtype "balance" 6
                  let before, means = shifts network, inputMeans network images
                  let layers = SignLayers.ofNetwork network
                  centerOnce quick network images

                  for i, (layer, before, after) in List.indexed (List.zip3 layers before (shifts network)) do
                      for b, mean, a in Array.zip3 before means[i] after do
                          // The stem's output is not centred.
                          let kept = if i = 0 then 0.0 else streamDecay * layer.Beta * mean
                          Expect.floatClose rounding a (b - decay * (layer.Beta * mean + b) + kept) "shift"
              } ]

let private gainUpdates =
    [ for dtype in [ torch.ScalarType.Float32; torch.ScalarType.Float64 ] do
          test $"{dtype}: gains shrink if the variance grows by more than a tenth" {
              use _ = torch.NewDisposeScope()
              use network = create dtype (tiny (BnFree 0.2))
              disturb network
              let images = images dtype "balance" 6

              let before, aroundBefore = gains network, shortcutGains network
              let variances = variances network images
              // No layer follows the last one.
              let growth = (List.pairwise variances |> List.map (fun (u, next) -> next / u)) @ [ 0.0 ]
              centerOnce quick network images

              for before, growth, after in List.zip3 before growth (gains network) do
                  let factor = 1.0 - 0.5 * decay * max 0.0 (min 1.0 (growth / 1.1 - 1.0))

                  for b, a in Array.zip before after do
                      Expect.floatClose rounding a (b * factor) "gain"

              Expect.exists
                  (List.zip aroundBefore (shortcutGains network))
                  (fun (before, after) -> Array.forall2 (fun b a -> a < b) before after)
                  "a shortcut's gains shrink too"

              for what, isSo in
                  [ "no", (fun g -> g > 0.0 && g < 1.1)
                    "little", (fun g -> g > 1.2 && g < 2.1)
                    "much", (fun g -> g > 2.3) ] do
                  Expect.exists growth isSo $"%s{what} growth in %A{growth}"
          } ]

let private unchanged =
    [ for what, recipe, norm in
          [ "batch norm", quick, BatchNorm
            "no norm", quick, NoNorm
            "the published recipe",
            without (fun d -> { d with SignCentering = Rule.Published; StreamCentering = Rule.Published }),
            BnFree 0.2 ] do
          test $"{what}: shifts and gains do not change" {
              use _ = torch.NewDisposeScope()
              use network = create torch.ScalarType.Float32 (tiny norm)
              disturb network
              let state () = shifts network, List.map fst (blocks network), gains network
              let before = state ()
              centerOnce recipe network (images torch.ScalarType.Float32 "centering" 6)
              Expect.equal (state ()) before "shifts and gains"
          } ]

let tests =
    testList
        "sign centering"
        [ yield! shiftUpdates
          yield! streamUpdates
          yield! gainUpdates
          yield! unchanged
          test "constant images give finite shifts and gains" {
              use _ = torch.NewDisposeScope()
              use network = create torch.ScalarType.Float32 (tiny (BnFree 0.2))
              use grey = torch.zeros ([| 4L; 3L; 32L; 32L |])
              centerOnce quick network grey
              Expect.all (shifts network @ gains network |> Array.concat) System.Double.IsFinite "shifts and gains"
          }

          test "repeated updates on the same images bring means to 0" {
              use _ = torch.NewDisposeScope()
              use network = create torch.ScalarType.Float32 (tiny (BnFree 0.2))
              disturb network
              let images = images torch.ScalarType.Float32 "centering" 16
              let meanSize () = means network images |> List.map (Array.averageBy abs) |> List.average
              let before = meanSize ()

              for _ in 1..60 do
                  centerOnce quick network images

              Expect.isLessThan (meanSize ()) (0.25 * before) "mean |mean|"
          }

          test "repeated updates on the same images bring the stream's means to 0, whether signs are centred or not" {
              for recipe in [ quick; streamOnly ] do
                  use _ = torch.NewDisposeScope()
                  use network = create torch.ScalarType.Float32 (tiny (BnFree 0.2))
                  disturb network
                  let images = images torch.ScalarType.Float32 "centering" 16
                  // The stem's output is not centred.
                  let meanSize () =
                      inputMeans network images |> List.tail |> List.map (Array.averageBy abs) |> List.average

                  let before = meanSize ()

                  for _ in 1..200 do
                      centerOnce recipe network images

                  Expect.isLessThan (meanSize ()) (0.1 * before) "mean |mean|"
          } ]
