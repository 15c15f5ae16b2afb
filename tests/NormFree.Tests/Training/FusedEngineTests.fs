/// Compares the fused engine with the composite one on whole networks.
module NormFree.Tests.Training.FusedEngineTests

open System
open System.Collections.Generic
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Layers
open NormFree.Torch.Training
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Spec
open NormFree.Tests.Training.Support
open TorchSharp
open NormFree.Tests.Training.FusedEngineSupport

/// Tolerance of logits, relative to the largest.
let private logitTolerance = 1e-5

/// Tolerance of a gradient, relative to its largest value.
let private gradientTolerance = 1e-4

/// Norms before signs, and their gradients that nearly cancel out, amplify rounding.
let private otherTolerance = 3e-3

let private architectures =
    [ ReActNet.reactNet18 { Width = 0.125; Depth = 0.5 } CifarStem
      ReActNet.reactNetA { Width = 0.25; Depth = 0.5 } CifarStem
      ReActNet.reactNetSmall { Width = 0.34; Depth = 1.0 } CifarStem ]

let private networks =
    [ for net in architectures do
          for norm in everyNorm do
              for binarise in [ Activations; ActivationsAndWeights ] ->
                  net
                  |> Net.withClasses 10
                  |> Net.withNorm norm
                  |> Net.withBinarise binarise
                  |> Net.withBinaryGain BinaryGain.VariancePreserving

      for norm in everyNorm do
          for weights in [ WeightBinariser.ZeroMean; WeightBinariser.Real ] ->
              ReActNet.reactNetSmall { Width = 0.34; Depth = 0.5 } CifarStem
              |> Net.withClasses 10
              |> Net.withNorm norm
              |> Net.withBinarise ActivationsAndWeights
              |> Net.withBinaryGain BinaryGain.VariancePreserving
              |> Net.withShortcutWeights weights ]

/// Narrow networks of other papers, and random ones.
let private others =
    [ for table in
          [ BiRealNet.biReal18 { Width = 0.125; Depth = 0.5 }
            VggSmall.vggSmall { Width = 0.0625; Depth = 1.0 }
            XnorResNet.xnorResNet18 { Width = 0.125; Depth = 0.5 }
            BinaryMlp.binaryMlp { Width = 0.03; Depth = 1.0 }
            QuickNet.quickNet { Width = 0.125; Depth = 0.5 }
            BinaryDenseNet.table "dense" 16 8 [ 2; 2 ] [ 1.5 ] ] do
          for norm in [ BatchNorm; BnFree 0.2 ] do
              for binarise in
                  [ Activations
                    // The maxima of its transitions are ties of sums of ±s.
                    if (table CifarStem).Name <> "dense" then
                        ActivationsAndWeights ] ->
                  table CifarStem
                  |> Net.withClasses 10
                  |> Net.withNorm norm
                  |> Net.withBinarise binarise
                  |> RandomSpecs.withoutTies

      for seed in 1L .. 12L -> RandomSpecs.withoutTies (RandomSpecs.net seed) ]

/// A network as in the middle of a training: no tensor has its initial values, and binary weights are as large as real ones.
let private trained net seed =
    let network = Network.create single Rule.Corrected seed net
    let stream = RandomStream.OfKeys(21L, seed)
    let kinds = dict [ for described, _ in network.Parameters -> described.Key, described.Kind ]

    let around (middle: float) spread (tensor: torch.Tensor) =
        torch.tensor [| for _ in 1L .. tensor.numel () -> middle + stream.Between(-spread, spread) |]

    let tensors = dict network.Tensors

    network
    |> Network.fill (fun key ->
        let tensor = tensors[key]

        match kinds.TryGetValue key with
        | true, ConvolutionWeight conv -> around 0.0 (1.5 / sqrt (float (conv.FanIn))) tensor
        | true, (Gain | NormWeight) -> around 1.0 0.3 tensor
        | true, Slope -> around 0.25 0.2 tensor
        | true, SlopeExponent -> around -3.0 2.0 tensor
        | true, (ShiftBias | NormBias) -> around 0.0 0.2 tensor
        | true, (LinearWeight | LinearBias _) -> around 0.0 0.3 tensor
        | _ -> tensor.clone ())

    network

/// Six images; random networks take smaller ones.
let private sixImages (net: NetSpec) =
    let images = images single "fused engine" 6
    let isRandom = net.Name.StartsWith "random"
    if isRandom then torch.nn.functional.avg_pool2d (images, 2L) else images

let private signs (x: torch.Tensor) = Agreement.values x |> Array.map (fun v -> v >= 0.0)

/// Whether the arguments of all signs and activations have the same sign in both engines.
let private withoutFlips mode (network: Network) =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    let tensors = Dictionary(dict network.Tensors)
    let still () = 0.0
    let composite = CompositeEngine.OfTorch(still, tensors)
    let fused = FusedEngine(Precision.Float32, still, tensors)
    let same f (one: torch.Tensor) (other: torch.Tensor) = signs (f one) = signs (f other)

    let layers = dict [ for layer in Lowering.layers network.Spec -> layer.Name, layer ]

    let argument (layer: BinaryLayer) (x: torch.Tensor) =
        let scaled = x.Times(float (float32 layer.Convolution.Beta))

        match layer.Convolution.Shift with
        | Some key -> LearnableShift.Apply(scaled, tensors[key])
        | None -> scaled

    /// The argument of the PReLU at the end of a block, up to its sign.
    let active graph (y: torch.Tensor) =
        match List.tryLast (Graph.operations graph) with
        | Some(Op.RPReLU names) -> LearnableShift.Apply(y, tensors[names.ShiftOut].neg())
        | _ -> torch.zeros_like y

    let images = sixImages network.Spec
    let mutable ours, theirs = images, images
    let mutable agree = true

    for name, graph in Lowering.parts network.Spec do
        let arguments = Dictionary<string, torch.Tensor>()

        // The inputs of all signs, in both engines.
        let hook (other: bool) =
            let see name (x: torch.Tensor) =
                if other then
                    agree <- agree && same (argument layers[name]) arguments[name] x
                else
                    arguments[name] <- x.clone().DetachFromDisposeScope()

            { ForwardHook.none with Layer = see }

        ours <- fused.Run(mode, [ name, graph ], hook false, ours)
        theirs <- composite.Run(mode, [ name, graph ], hook true, theirs)
        agree <- agree && same (active graph) ours theirs

    agree

/// Updates the running statistics of batch norm.
let private warm (network: Network) =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()
    network.Forward(sixImages network.Spec, Train) |> ignore

/// The first seed for which both engines have the same signs.
let private stableSeed mode net =
    Seq.initInfinite (fun i -> int64 (i + 1))
    |> Seq.truncate 20
    |> Seq.tryFind (fun seed ->
        use network = trained net seed

        if mode = Evaluate then
            warm network

        withoutFlips mode network)
    |> Option.defaultWith (fun () -> failtest "signs flip at every seed")

/// Compares values relative to their largest, or to a floor: gradients that cancel out, as before a batch norm, have no scale of their own.
let private closeTo floor tolerance what (actual: float[]) (expected: float[]) =
    Expect.equal actual.Length expected.Length what
    let largest = expected |> Array.map abs |> Array.max |> max floor
    let worst = Array.map2 (fun (a: float) e -> abs (a - e)) actual expected |> Array.max

    // Written so that NaN fails.
    if not (worst <= tolerance * largest) then
        failtest $"{what}: differs by {worst} where the largest value is {largest}"

let private close tolerance what actual expected = closeTo 0.0 tolerance what actual expected

/// The network after one training step's backward pass, and its logits.
let private step execution net seed =
    let network = trained net seed |> Network.running execution
    let logits = network.Forward(sixImages net, Train)
    network.Backward(Losses.CrossEntropy(logits, labels 6))
    network, Agreement.values logits

let private agreement =
    [ for net, gradientTolerance in
          [ for net in networks -> net, gradientTolerance
            for net in others -> net, otherTolerance ] do
          test $"a training step equals the composite engine's: {title net}" {
              use _ = torch.NewDisposeScope()
              let seed = stableSeed Train net
              let ours, logits = step Execution.Default net seed
              let theirs, expected = step Execution.Portable net seed
              use _ = ours
              use _ = theirs
              close logitTolerance "logits" logits expected

              let largest = gradients theirs |> List.map (snd >> Array.map abs >> Array.max) |> List.max

              for (key, actual), (_, expected) in List.zip (gradients ours) (gradients theirs) do
                  closeTo (1e-2 * largest) gradientTolerance $"gradient of {key}" actual expected

              for (key, actual), (_, expected) in List.zip ours.Buffers theirs.Buffers do
                  close gradientTolerance key (Agreement.values actual) (Agreement.values expected)
          }

          test $"evaluation equals the composite engine's: {title net}" {
              use _ = torch.NewDisposeScope()
              use _ = torch.no_grad ()
              use network = trained net (stableSeed Evaluate net)
              warm network
              let ours = network.Forward(sixImages net, Evaluate)
              let theirs = (network |> Network.running Execution.Portable).Forward(sixImages net, Evaluate)
              close logitTolerance "logits" (Agreement.values ours) (Agreement.values theirs)
          }

      test "a failure within the backward pass is thrown by the network, and the next pass works" {
          use _ = torch.NewDisposeScope()
          use network = trained (tiny (BnFree 0.2)) 1L
          let loss () = Losses.CrossEntropy(network.Forward(sixImages network.Spec, Train), labels 6)
          let first = loss ()
          first.backward (retain_graph = true)
          // The first pass has freed the layers' state.
          contains
              [ "backward pass"; "failed" ]
              (messageOf<InvalidOperationException, _>(fun () -> network.Backward first))

          network.Backward(loss ())

          for key, gradient in gradients network do
              Expect.all gradient Double.IsFinite key
      }

      test "a float64 network is always computed by the composite engine" {
          use _ = torch.NewDisposeScope()
          use _ = torch.no_grad ()
          use network = Network.create torch.ScalarType.Float64 Rule.Corrected 1L (tiny (BnFree 0.2))
          let images = images torch.ScalarType.Float64 "doubles" 2
          let logits = network.Forward(images, Evaluate)
          Expect.equal network.Execution.Engine Composite "engine"
          let composite = (network |> Network.running Execution.Portable).Forward(images, Evaluate)
          Expect.equal (bits logits) (bits composite) "logits"
          Expect.equal logits.dtype torch.ScalarType.Float64 "type"
      } ]


let tests =
    testList
        "fused engine"
        [ testList "agreement" agreement; testList "loss curves" (LossCurveTests.curves [ BnFree 0.2 ]) ]

let soak =
    testList
        "fused engine"
        [ testList "loss curves" (LossCurveTests.curves [ BatchNorm; NoNorm ])
          testList "on real images" LossCurveTests.onRealImages ]
