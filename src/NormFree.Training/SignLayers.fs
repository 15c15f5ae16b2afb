namespace NormFree.Training

open System.Collections.Generic
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Telemetry
open TorchSharp

/// A binary layer of a network: its convolutions see sign(β·x + b), where x is the layer's input.
type internal SignLayer =
    {
        Name: string
        Beta: float
        /// b.
        Shift: torch.Tensor
        /// Each with the key and the tensor of its weight.
        Convolutions: (ConvolutionSpec * string * torch.Tensor) list
        /// Of the convolutions on the signs and of the shortcut's, where it has one: together they scale all that the layer adds up but a shortcut
        /// without a convolution.
        Gains: torch.Tensor list
        /// NaN where the network's constants are made for none.
        ExpectedVariance: float
    }

/// The binary layers of a network, and what they see.
[<RequireQualifiedAccess>]
module internal SignLayers =

    let private expectedVariances body =
        match body.Norm with
        | BnFree alpha
        | Scaled alpha -> Variance.expected body.ExpectedVariance alpha body.Layers
        | BatchNorm
        | NoNorm -> body.Layers |> List.map (fun _ -> nan)

    let private fused spec : (string * FusedLayer) list =
        [ for name, graph in Lowering.parts spec do
              for part in Fusion.parts graph do
                  match part with
                  | Layer layer -> name, layer
                  | Plain _ -> () ]

    /// What computes the binary layers of such a network, with their names.
    let convolutions spec : (string * SignConvolution) list =
        [ for name, layer in fused spec -> name, layer.Convolution ]

    let private withShortcut (layer: FusedLayer) =
        [ yield! List.map fst layer.Convolution.Convolutions

          match layer.Shortcut with
          | RepeatedInput -> ()
          | Computed graph ->
              for op in Graph.operations graph do
                  match op with
                  | Convolve conv -> conv
                  | _ -> () ]

    /// The layers in the order in which they run; none of a full-precision network.
    let ofNetwork (network: Network) : SignLayer list =
        let tensors = dict network.Tensors

        let layer (name, fused: FusedLayer) expected =
            let convolution = fused.Convolution

            { Name = name
              Beta = convolution.Beta
              Shift = tensors[convolution.Shift]
              Convolutions =
                [ for conv, _ in convolution.Convolutions ->
                      let key = $"{conv.Key}.weight"
                      conv, key, tensors[key] ]
              Gains =
                [ for conv in withShortcut fused do
                      if conv.Standardised then
                          tensors[$"{conv.Key}.gain"] ]
              ExpectedVariance = expected }

        match Net.binaryBody network.Spec with
        | Some body -> List.map2 layer (fused network.Spec) (expectedVariances body)
        | None -> []

    /// Keeps what `see` makes of every layer's input, by the layer's name.
    let watching
        (layers: SignLayer list)
        (see: SignLayer -> torch.Tensor -> 'seen)
        (into: Dictionary<string, 'seen>)
        : ForwardHook =
        let known = dict [ for layer in layers -> layer.Name, layer ]

        fun name input _ ->
            match known.TryGetValue name with
            | true, layer -> into[name] <- see layer input
            | _ -> ()

    /// What `see` makes of every layer's input when these images are evaluated, in the order of the layers.
    let evaluate (network: Network) layers see (images: torch.Tensor) =
        use _ = torch.no_grad ()
        let seen = Dictionary()
        use logits = network.Forward(images, Evaluate, watching layers see seen)
        [ for layer in layers -> layer.Name, seen[layer.Name] ]

    /// The share of +1 by layer and channel for these images.
    let shares network (images: torch.Tensor) : (string * float[]) list =
        evaluate
            network
            (ofNetwork network)
            (fun layer x -> SignInput.PositiveFraction(x, layer.Beta, layer.Shift))
            images

    /// The signs of a layer's filters, as they are or would be binarised, convolution by convolution.
    let filterSigns (layer: SignLayer) =
        [ for conv, _, weight in layer.Convolutions -> FilterSigns.Of(weight, conv.Standardised) ]

    /// The share of signs that are not the same; both lists are of one layer.
    let flips (before: torch.Tensor list) (after: torch.Tensor list) =
        let flipped = List.map2 (fun a b -> FilterSigns.Flips(a, b)) before after |> List.sum
        float flipped / float (before |> List.sumBy _.numel())
