namespace NormFree.Training

open System.Collections.Generic
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Telemetry
open TorchSharp

/// A binary layer of a network. Its convolutions take sign(β·x + b), where x is the layer's input.
type internal SignLayer =
    {
        Name: string
        Beta: float
        /// b, 1×C×1×1.
        Shift: torch.Tensor
        /// Each with the key of its weight and the weight.
        Convolutions: (ConvolutionSpec * string * torch.Tensor) list
        /// The gains of the layer's convolutions, including its shortcut's convolution if there is one.
        Gains: torch.Tensor list
        /// The variance of x that β assumes; NaN for batch norm and no norm.
        ExpectedVariance: float
    }

/// The binary layers of a network and their inputs.
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

    /// The sign convolutions of a network's binary layers, by layer name.
    let convolutions spec : (string * SignConvolution) list =
        [ for name, layer in fused spec -> name, layer.Convolution ]

    /// A layer's convolutions, its shortcut's included.
    let private allConvolutions (layer: FusedLayer) =
        [ yield! List.map fst layer.Convolution.Convolutions

          match layer.Shortcut with
          | RepeatedInput -> ()
          | Computed graph ->
              for op in Graph.operations graph do
                  match op with
                  | Convolve conv -> conv
                  | _ -> () ]

    /// The binary layers in order of execution; empty for a full-precision network.
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
                [ for conv in allConvolutions fused do
                      if conv.Standardised then
                          tensors[$"{conv.Key}.gain"] ]
              ExpectedVariance = expected }

        match Net.binaryBody network.Spec with
        | Some body -> List.map2 layer (fused network.Spec) (expectedVariances body)
        | None -> []

    /// A forward hook that stores `measure` of every layer's input by the layer's name.
    let hook
        (layers: SignLayer list)
        (measure: SignLayer -> torch.Tensor -> 'result)
        (into: Dictionary<string, 'result>)
        : ForwardHook =
        let known = dict [ for layer in layers -> layer.Name, layer ]

        fun name input _ ->
            match known.TryGetValue name with
            | true, layer -> into[name] <- measure layer input
            | _ -> ()

    /// `measure` of every layer's input when these images are evaluated, in the order of the layers.
    let evaluate (network: Network) layers measure (images: torch.Tensor) =
        use _ = torch.no_grad ()
        let results = Dictionary()
        use logits = network.Forward(images, Evaluate, hook layers measure results)
        [ for layer in layers -> layer.Name, results[layer.Name] ]

    /// The fraction of +1 by layer and channel for these images.
    let shares network (images: torch.Tensor) : (string * float[]) list =
        evaluate
            network
            (ofNetwork network)
            (fun layer x -> SignInput.PositiveFraction(x, layer.Beta, layer.Shift))
            images

    /// The signs of a layer's filters after standardisation, by convolution. In stage 1 they are not used yet.
    let filterSigns (layer: SignLayer) =
        [ for conv, _, weight in layer.Convolutions -> FilterSigns.Of(weight, conv.Standardised) ]

    /// The fraction of signs that differ; both lists belong to one layer.
    let flips (before: torch.Tensor list) (after: torch.Tensor list) =
        let flipped = List.map2 (fun a b -> FilterSigns.Flips(a, b)) before after |> List.sum
        float flipped / float (before |> List.sumBy _.numel())
