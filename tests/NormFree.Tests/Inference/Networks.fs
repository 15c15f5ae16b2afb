/// Networks to pack, and the reference implementation as their runner.
module NormFree.Tests.Inference.Networks

open NormFree.Data
open NormFree.Spec
open NormFree.Inference.Model
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open NormFree.Tests.Training
open TorchSharp

/// Runs a packed network by the reference implementation.
let reference (model: PackedModel) : PackedRunner =
    let layer number (x: float32[]) height width =
        let layer = model.Layers[number]

        let map: ReferencePacked.Map =
            { Height = height; Width = width; Channels = x.Length / (height * width); Values = x }

        let signs =
            match layer with
            | :? PackedBinaryLayer as binary -> ReferencePacked.signs binary map
            | _ -> [||]

        (ReferencePacked.run layer map).Values, signs

    let add number (x: PackedMap) (shortcut: PackedMap) =
        let map (x: PackedMap) : ReferencePacked.Map =
            { Height = x.Height
              Width = x.Width
              Channels = x.Values.Length / (x.Height * x.Width)
              Values = x.Values }

        match model.Layers[number] with
        | :? PackedAdd as sum -> (ReferencePacked.add sum (map x) (map shortcut)).Values
        | other -> invalidOp $"{other.Key} is no addition"

    { RunLayer = layer
      RunAdd = add
      Run = fun image height width -> ReferencePacked.logits model height width image }

/// Every norm with either stem; the last maps have 2×2 pixels for the larger images and 1×1 for the smaller ones.
let specs =
    let of18 = ReActNet.reactNet18 { Width = 0.125; Depth = 0.25 }
    let ofA = ReActNet.reactNetA { Width = 0.25; Depth = 0.5 }

    let deployed norm net =
        net
        |> Net.withClasses 7
        |> Net.withNorm norm
        |> Net.withBinarise ActivationsAndWeights
        |> Net.withBinaryGain BinaryGain.VariancePreserving

    [ for norm in Support.everyNorm do
          for net, size in [ of18 CifarStem, 8; of18 ImageNetStem, 64; ofA CifarStem, 16; ofA ImageNetStem, 64 ] do
              $"{net.Name}, {Names.norm norm}, {(Net.stem net).Branch.Length} parts in the stem, {size}×{size} images",
              size,
              deployed norm net

          for weights in [ WeightBinariser.ZeroMean; WeightBinariser.Real ] do
              $"reactnet-18, {Names.norm norm}, {Names.weights weights} shortcuts",
              8,
              of18 CifarStem |> deployed norm |> Net.withShortcutWeights weights ]

/// A network whose parameters all differ from their initial values; norm weights and gains have both signs.
let trained (dtype: torch.ScalarType) seed net =
    let network = Network.create dtype Rule.Corrected seed net
    let stream = RandomStream.OfKeys(52L, seed)
    let kinds = dict [ for described, _ in network.Parameters -> described.Key, described.Kind ]

    let around (middle: float) spread (tensor: torch.Tensor) =
        torch.tensor [| for _ in 1L .. tensor.numel () -> middle + stream.Between(-spread, spread) |]

    let tensors = dict network.Tensors

    network
    |> Network.fill (fun key ->
        let tensor = tensors[key]

        match kinds.TryGetValue key with
        | true, ConvolutionWeight conv -> around 0.0 (1.5 / sqrt (float conv.FanIn)) tensor
        | true, (Gain | NormWeight) -> around 0.3 1.0 tensor
        | true, Slope -> around 0.25 0.4 tensor
        | true, (ShiftBias | NormBias) -> around 0.0 0.3 tensor
        | true, (LinearWeight | LinearBias _) -> around 0.0 0.3 tensor
        | _ when key.EndsWith "running_mean" -> around 0.0 0.5 tensor
        | _ when key.EndsWith "running_var" -> around 1.0 0.9 tensor
        | _ -> tensor.clone ())

    network

/// Images of noise in the network's type.
let noise (dtype: torch.ScalarType) seed count size =
    let stream = RandomStream.OfKeys(53L, seed)
    let values = [| for _ in 1 .. count * 3 * size * size -> stream.Normal() |]
    torch.tensor(values).reshape(int64 count, 3L, int64 size, int64 size).``to`` dtype
