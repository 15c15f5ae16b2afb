namespace NormFree.Training

open System.Collections.Generic
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Telemetry
open TorchSharp

/// How a layer's input x comes out of the layer before it: RPReLU(branch + shortcut).
type internal ResidualStream =
    {
        /// The last shift of that RPReLU, which is added to x.
        Shift: torch.Tensor
        /// How often the shortcut repeats that layer's input over the channels; 0 if it changes the input.
        Copies: int
    }

/// A binary layer of a network. Its convolutions take sign(β·x + b), where x is the layer's input, after the norm before the sign if it has one.
type internal SignLayer =
    {
        Name: string
        Beta: float
        /// b, 1×C×1×1; None in layers without a shift.
        Shift: torch.Tensor option
        /// C.
        Channels: int
        /// Each with the key of its weight and the weight.
        Convolutions: (ConvolutionSpec * string * torch.Tensor) list
        /// The gains of the layer's convolutions, including its shortcut's convolution if there is one.
        Gains: torch.Tensor list
        /// Whether the layer is a residual block: its signal accumulates from block to block.
        IsResidual: bool
        /// The variance of x that β assumes; NaN for layers without β.
        ExpectedVariance: float
        /// None if x does not come out of a layer with an RPReLU.
        Stream: ResidualStream option
        /// Whether the shortcut that takes the layer's input has a convolution.
        HasShortcutConvolution: bool
    }

/// The binary layers of a network and their inputs.
[<RequireQualifiedAccess>]
module internal SignLayers =

    let private hasVariance (net: NetSpec) =
        match net.Norm with
        | BnFree _
        | Scaled _ -> true
        | BatchNorm
        | NoNorm -> false

    /// A layer's convolutions, its shortcut's included.
    let private allConvolutions (layer: BinaryLayer) =
        [ yield! List.map fst layer.Convolution.Convolutions
          for op in Graph.operations (Graph.ofShortcut layer.Shortcut) do
              match op with
              | Op.Convolve conv -> conv
              | _ -> () ]

    let private isResidual (layer: BinaryLayer) =
        match layer.Shortcut with
        | RepeatedInput _
        | Pooled _
        | Computed _ -> true
        | NoShortcut
        | Concatenated -> false

    /// The layers whose sign takes β·x: residual layers, and the first one in the branch of a residual block of several.
    let rec private withBeta graph =
        match graph with
        | Layer layer when isResidual layer -> [ layer.Name ]
        | Residual(Chain(Layer first :: _), _) -> [ first.Name ]
        | Chain parts
        | Parallel parts -> List.collect withBeta parts
        | _ -> []

    /// The layers whose input passes through a convolution of a shortcut: their own, or that of the block which they begin.
    let rec private withShortcutConvolution graph =
        let convolves shortcut =
            Graph.operations (Graph.ofShortcut shortcut)
            |> List.exists (fun op ->
                match op with
                | Op.Convolve _ -> true
                | _ -> false)

        match graph with
        | Layer layer when convolves layer.Shortcut -> [ layer.Name ]
        | Residual(Chain(Layer first :: _) as branch, shortcut) ->
            (if convolves shortcut then [ first.Name ] else []) @ withShortcutConvolution branch
        | Residual(branch, _) -> withShortcutConvolution branch
        | Chain parts
        | Parallel parts -> List.collect withShortcutConvolution parts
        | _ -> []

    /// The parts of chains within chains, in order.
    let rec private flat graph =
        match graph with
        | Chain parts -> List.collect flat parts
        | part -> [ part ]

    /// The layers that follow another layer directly, by name, with that layer.
    let rec private followers graph =
        let parts = flat graph

        [ for before, after in List.pairwise parts do
              match before, after with
              | Layer before, Layer after -> after.Name, before
              | _ -> ()
          for part in parts do
              match part with
              | Residual(branch, _) -> yield! followers branch
              | Parallel branches -> yield! List.collect followers branches
              | _ -> () ]

    let private stream (tensors: IDictionary<string, torch.Tensor>) (before: BinaryLayer) =
        match before.Activation, before.Shortcut with
        | Some(Op.RPReLU names), RepeatedInput copies -> Some { Shift = tensors[names.ShiftOut]; Copies = copies }
        | Some(Op.RPReLU names), (Pooled _ | Computed _) -> Some { Shift = tensors[names.ShiftOut]; Copies = 0 }
        | _ -> None

    /// The binary layers in order of execution; empty for a full-precision network.
    let ofNetwork (network: Network) : SignLayer list =
        let tensors = dict network.Tensors
        let graph = Lowering.lower network.Spec
        let followers = dict (followers graph)
        let withBeta, withShortcutConvolution = set (withBeta graph), set (withShortcutConvolution graph)

        [ for layer in Lowering.layers network.Spec ->
              let convolution = layer.Convolution

              { Name = layer.Name
                Beta = convolution.Beta
                Shift = convolution.Shift |> Option.map (fun key -> tensors[key])
                Channels = convolution.In
                Convolutions =
                  [ for conv, _ in convolution.Convolutions ->
                        let key = $"{conv.Key}.weight"
                        conv, key, tensors[key] ]
                Gains =
                  [ for conv in allConvolutions layer do
                        if conv.Standardised then
                            tensors[$"{conv.Key}.gain"] ]
                IsResidual = isResidual layer
                ExpectedVariance =
                  if hasVariance network.Spec && withBeta.Contains layer.Name then
                      1.0 / (convolution.Beta * convolution.Beta)
                  else
                      nan
                Stream =
                  match followers.TryGetValue layer.Name with
                  | true, before -> stream tensors before
                  | _ -> None
                HasShortcutConvolution = withShortcutConvolution.Contains layer.Name } ]

    /// A forward hook that stores `measure` of every layer's input by the layer's name.
    let hook
        (layers: SignLayer list)
        (measure: SignLayer -> torch.Tensor -> 'result)
        (into: Dictionary<string, 'result>)
        : ForwardHook =
        let known = dict [ for layer in layers -> layer.Name, layer ]

        { ForwardHook.none with
            Layer =
                fun name input ->
                    match known.TryGetValue name with
                    | true, layer -> into[name] <- measure layer input
                    | _ -> () }

    /// A forward hook that stores `measure` of the input of every shortcut with a convolution, by the layer's name.
    let shortcutHook (layers: SignLayer list) measure (into: Dictionary<string, 'result>) : ForwardHook =
        let known =
            set
                [ for layer in layers do
                      if layer.HasShortcutConvolution then
                          layer.Name ]

        { ForwardHook.none with
            Input =
                fun name (input: torch.Tensor) ->
                    if known.Contains name then
                        into[name] <- measure input }

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
            (fun layer x -> SignInput.PositiveFraction(x, layer.Beta, Option.toObj layer.Shift))
            images

    /// The signs of a layer's filters after standardisation, by convolution. In stage 1 they are not used yet.
    let filterSigns (layer: SignLayer) =
        [ for conv, _, weight in layer.Convolutions -> FilterSigns.Of(weight, conv.Standardised) ]

    /// The fraction of signs that differ; both lists belong to one layer.
    let flips (before: torch.Tensor list) (after: torch.Tensor list) =
        let flipped = List.map2 (fun a b -> FilterSigns.Flips(a, b)) before after |> List.sum
        float flipped / float (before |> List.sumBy _.numel())
