namespace NormFree.Training

open System.Collections.Generic
open System.Diagnostics
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch
open NormFree.Torch.Distributed
open NormFree.Torch.Telemetry
open TorchSharp

/// <summary>Keeps signs balanced and signals of one size where no norm does (deviation 15 of the method): after each step every shift before a sign
/// moves towards the one that takes the mean off, and gains give way where a layer lets its signal grow.</summary>
/// <remarks>
/// <para>b ← b − p·s·mean(β·x + b), with p = 0.06, the schedule's factor s and a mean over batch and pixels, channel by channel: shifts decay towards
/// −β·mean(x), as a running mean follows its means. Without it channels drift until their signs hardly depend on the image. Ding et al., "Regularizing
/// activation distribution for training binarized deep networks" (CVPR 2019), ask for something like it through the loss.</para>
/// <para>g ← g·(1 − p·s/2·min(1, u′/(1.1·u) − 1)) where that is less than g: u is the mean over channels of the variance of β·x, u′ that of the layer
/// behind it. Both are 1 where β is by the measured variance (deviation 6). Filters that come to answer alike would let signals grow layer by layer,
/// out of the window in which the sign has a gradient. A shortcut's convolution gives way with the filters on the signs: a signal may grow through it,
/// and filters that gave way alone would vanish without stopping it. The last layer has none behind it, and without standardisation there are no
/// gains.</para>
/// <para>Both are apart from the loss and the optimiser, as AdamW's weight decay is. The forward pass of an image depends on no other image, and the
/// moments are means over images: parts of a batch add up to the whole.</para>
/// </remarks>
[<Sealed>]
type internal SignCentering(recipe: Recipe, network: Network) =

    /// In short trainings 0.02 and 0.15 did not differ by more than seeds do.
    static let pace = 0.06

    /// How many times the variance may be from one layer to the next, each measured by what its β is made for.
    static let growth = 1.1

    let layers = if Recipe.centresSigns recipe network.Spec then SignLayers.ofNetwork network else []

    /// The means of the channels, and the mean of the squares behind them.
    let sizes = layers |> List.map (fun layer -> int (layer.Shift.numel ()) + 1)

    /// Of the part that was seen last, and of the step so far, each part weighted by its share of the batch.
    let seen = Dictionary<string, float[]>()
    let moments = Dictionary<string, float[]>()

    let addPart weight =
        for KeyValue(name, found) in seen do
            let weighted = found |> Array.map ((*) weight)

            moments[name] <-
                match moments.TryGetValue name with
                | true, before -> Array.map2 (+) before weighted
                | _ -> weighted

    /// The moments of the whole batch of all ranks, layer by layer; a rank without images adds nothing.
    let ofAllRanks (ranks: IRanks) =
        let mine (layer: SignLayer) size =
            match moments.TryGetValue layer.Name with
            | true, found -> found
            | _ -> Array.zeroCreate size

        let begin' = Stopwatch.GetTimestamp()
        let all = ranks.Sum(List.map2 mine layers sizes |> Array.concat)
        let waited = Stopwatch.GetElapsedTime(begin').TotalMilliseconds
        let starts = List.scan (+) 0 sizes

        [ for start, size in List.zip (List.truncate sizes.Length starts) sizes -> all[start .. start + size - 1] ],
        CommunicationTime(int64 (sizeof<float> * all.Length), waited, waited)

    let means (moments: float[]) = Array.truncate (moments.Length - 1) moments

    let balance step (layer: SignLayer) moments =
        let means =
            torch.tensor(means moments).``to``(layer.Shift.dtype, layer.Shift.device).reshape layer.Shift.shape

        layer.Shift.TimesInPlace(1.0 - step).PlusInPlace(means, -step * layer.Beta) |> ignore

    /// The variance of β·x, a mean over channels.
    let variance (layer: SignLayer) (moments: float[]) =
        let ofMeans = means moments |> Array.averageBy (fun mean -> mean * mean)
        layer.Beta * layer.Beta * max DataDependentInit.smallestVariance (Array.last moments - ofMeans)

    let restrain step (layer: SignLayer, (before, after)) =
        let excess = after / (growth * before) - 1.0

        if excess > 0.0 then
            for gain in layer.Gains do
                gain.TimesInPlace(1.0 - 0.5 * step * min 1.0 excess) |> ignore

    /// <summary>What looks at the forward passes of a step.</summary>
    member val Watch: MicroBatchHook =
        let look = SignLayers.watching layers (fun _ x -> SignInput.Moments x) seen

        { Begins = moments.Clear
          ForwardHook = fun _ -> look
          Passed = addPart }

    /// <summary>Whether there are shifts to move.</summary>
    member _.IsNeeded = not layers.IsEmpty

    /// <summary>Moves shifts and gains at this learning rate, after the step that all ranks have looked at; what it has told other ranks.</summary>
    member centering.Apply(ranks: IRanks, rate: float) : CommunicationTime =
        if centering.IsNeeded then
            use _ = torch.NewDisposeScope()
            use _ = torch.no_grad ()
            let step = pace * rate / recipe.LearningRate
            let moments, communication = ofAllRanks ranks
            List.iter2 (balance step) layers moments

            List.map2 variance layers moments
            |> List.pairwise
            |> List.zip (List.truncate (layers.Length - 1) layers)
            |> List.iter (restrain step)

            if ranks.Size > 1 then communication else CommunicationTime()
        else
            CommunicationTime()
