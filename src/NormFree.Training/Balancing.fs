namespace NormFree.Training

open System.Collections.Generic
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Telemetry
open TorchSharp

/// <summary>Keeps signs balanced where no norm does (deviation 15 of the method): after each step every shift before a sign moves towards the
/// median of what it shifts.</summary>
/// <remarks>
/// <para>b ← b − rate·strength·mean(sign(β·x + b)), the mean over batch and pixels, channel by channel: a step down the gradient of
/// strength·mean(|β·x + b|) with respect to b alone, apart from the loss and the optimiser as AdamW's weight decay is. Without it channels drift until
/// their signs hardly depend on the image. Ding et al., "Regularizing activation distribution for training binarized deep networks" (CVPR 2019),
/// ask for the same through the loss.</para>
/// <para>The forward pass of an image depends on no other image, and the mean is one over images: parts of a batch add up to the whole.</para>
/// </remarks>
[<Sealed>]
type internal Balancing(recipe: Recipe, network: Network) =

    /// Far from balance (a mean of 1), what is shifted moves by a tenth at a rate of 2e-3.
    static let strength = 50.0

    let layers = if Recipe.balances recipe network.Spec then SignLayers.ofNetwork network else []
    let shares = Dictionary<string, float[]>()

    let balance rate (layer: SignLayer) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let means = shares[layer.Name] |> Array.map (fun share -> 2.0 * share - 1.0)
        let means = torch.tensor(means).``to``(layer.Shift.dtype, layer.Shift.device).reshape layer.Shift.shape
        layer.Shift.PlusInPlace(means, -rate * strength) |> ignore

    /// <summary>What looks at the forward pass of a step.</summary>
    member val Look: Look =
        SignLayers.watching layers (fun layer x -> SignInput.Positive(x, layer.Beta, layer.Shift)) shares

    /// <summary>Moves the shifts at this learning rate, after the step that was looked at.</summary>
    member _.Balance(rate: float) = layers |> List.iter (balance rate)
