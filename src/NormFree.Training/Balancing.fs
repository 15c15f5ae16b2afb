namespace NormFree.Training

open System.Collections.Generic
open System.Diagnostics
open NormFree.Distributed
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Distributed
open NormFree.Torch.Telemetry
open TorchSharp

/// <summary>Keeps signs balanced where no norm does (deviation 15 of the method): after each step every shift before a sign moves towards the
/// one that takes the mean off.</summary>
/// <remarks>
/// <para>b ← b − pace·s·mean(β·x + b), where s is the schedule's factor and the mean is one over batch and pixels, channel by channel: shifts decay
/// towards −β·mean(x), as a running mean follows its means, apart from the loss and the optimiser as AdamW's weight decay is. Without it channels
/// drift until their signs hardly depend on the image. Ding et al., "Regularizing activation distribution for training binarized deep networks"
/// (CVPR 2019), ask for something like it through the loss.</para>
/// <para>The forward pass of an image depends on no other image, and the mean is one over images: parts of a batch add up to the whole.</para>
/// </remarks>
[<Sealed>]
type internal Balancing(recipe: Recipe, network: Network) =

    /// PACE
    static let pace = 0.06

    let layers = if Recipe.balances recipe network.Spec then SignLayers.ofNetwork network else []
    let sizes = layers |> List.map (fun layer -> int (layer.Shift.numel ()))
    /// Of the part that was seen last, and of the step so far, each part weighted by its share of the batch.
    let seen = Dictionary<string, float[]>()
    let means = Dictionary<string, float[]>()

    let addPart weight =
        for KeyValue(name, found) in seen do
            let weighted = found |> Array.map ((*) weight)

            means[name] <-
                match means.TryGetValue name with
                | true, before -> Array.map2 (+) before weighted
                | _ -> weighted

    /// The means of the whole batch of all ranks, layer by layer; a rank without images adds nothing.
    let ofAllRanks (ranks: IRanks) =
        let mine (layer: SignLayer) =
            match means.TryGetValue layer.Name with
            | true, found -> found
            | _ -> Array.zeroCreate (int (layer.Shift.numel ()))

        let begin' = Stopwatch.GetTimestamp()

        let all =
            ranks.Sum
                [| for layer in layers do
                       yield! mine layer |]

        let waited = Stopwatch.GetElapsedTime(begin').TotalMilliseconds
        let starts = List.scan (+) 0 sizes

        [ for start, size in List.zip (List.truncate sizes.Length starts) sizes -> all[start .. start + size - 1] ],
        CommunicationTime(int64 (sizeof<float> * all.Length), waited, waited)

    let balance rate (layer: SignLayer) (means: float[]) =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let means = torch.tensor(means).``to``(layer.Shift.dtype, layer.Shift.device).reshape layer.Shift.shape
        let step = pace * rate / recipe.LearningRate
        layer.Shift.TimesInPlace(1.0 - step).PlusInPlace(means, -step * layer.Beta) |> ignore

    /// <summary>What looks at the forward passes of a step.</summary>
    member val Watch: PartWatch =
        let look =
            SignLayers.watching layers (fun _ x -> SignInput.Means x) seen

        { Begins = means.Clear
          Look = fun _ -> look
          Passed = addPart }

    /// <summary>Whether there are shifts to move.</summary>
    member _.IsNeeded = not layers.IsEmpty

    /// <summary>Moves the shifts at this learning rate, after the step that all ranks have looked at; what it has told other ranks.</summary>
    member balancing.Balance(ranks: IRanks, rate: float) : CommunicationTime =
        if balancing.IsNeeded then
            let shares, communication = ofAllRanks ranks
            List.iter2 (balance rate) layers shares
            if ranks.Size > 1 then communication else CommunicationTime()
        else
            CommunicationTime()
