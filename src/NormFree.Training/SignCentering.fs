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

/// <summary>Keeps signs and the residual stream centred and the signal's variance constant in networks without a norm (deviations 15 and 17 of the
/// method). After each step, every shift before a sign moves towards the negative channel mean, gains shrink where a layer amplifies its signal, and
/// the last shift of every RPReLU takes off the mean that its block adds.</summary>
/// <remarks>
/// <para>b ← b − p·s·mean(β·x + b), with p = 0.06, the schedule's factor s and a mean over batch and pixels for each channel: shifts decay towards
/// −β·mean(x), as a running mean follows batch means. Without it, channels drift until their signs hardly depend on the image. Ding et al.,
/// "Regularizing activation distribution for training binarized deep networks" (CVPR 2019), reach a similar effect through the loss.</para>
/// <para>g ← g·(1 − p·s/2·min(1, u′/(1.1·u) − 1)) where that is less than g: u is the mean over channels of the variance of β·x, u′ that of the
/// next layer. Both are 1 if β comes from the measured variance (deviation 6). Filters that come to respond alike would amplify signals from layer
/// to layer, out of the window in which the sign has a gradient. The gains of a shortcut's convolution shrink together with those of the filters
/// on signs: a signal may grow through the shortcut, and shrinking the other filters alone would make them vanish without stopping it. The last
/// layer has no next layer, and without standardisation there are no gains.</para>
/// <para>z ← z − q·s·(mean(x) − mean of the previous layer's x), with q = p·min(1, images in a batch/64), for the last shift z of the RPReLU before
/// the layer; the previous mean is 0 if the shortcut is not the identity. The differences add up along the stream, so each mean decays by q·s of
/// itself, and b gets q·s·β·mean(x), which leaves β·x + b unchanged. Without this rule, means add up from block to block while the shifts before
/// signs follow them with a delay: in long trainings at high rates, both grow until signs hardly depend on the image.</para>
/// <para>All rules are separate from the loss and the optimiser, as AdamW's weight decay is. The forward pass of an image depends on no other
/// image, and moments are means over images: micro-batches add up to the whole batch.</para>
/// </remarks>
[<Sealed>]
type internal SignCentering(recipe: Recipe, network: Network) =

    /// In short trainings 0.02 and 0.15 differed from it by less than seeds do.
    static let pace = 0.06

    /// Batches of at least this many images centre the stream at full pace: the means of smaller ones are noisier, and z adds up their noise.
    static let fullPaceBatch = 64.0

    /// The factor by which the variance may grow from one layer to the next.
    static let growth = 1.1

    let centersSigns, centersStream =
        Recipe.centersSigns recipe network.Spec, Recipe.centersStream recipe network.Spec

    /// The pace of the stream's centering, as a fraction of that of signs.
    let streamPace = min 1.0 (float recipe.Batch / fullPaceBatch)

    let layers = if centersSigns || centersStream then SignLayers.ofNetwork network else []

    /// Values of each layer: the channels' means, then the mean square.
    let sizes = layers |> List.map (fun layer -> layer.Channels + 1)

    /// Moments of the latest micro-batch, and of the step so far, weighted by each micro-batch's fraction of the batch.
    let seen = Dictionary<string, float[]>()
    let moments = Dictionary<string, float[]>()

    let addPart weight =
        for KeyValue(name, found) in seen do
            let weighted = found |> Array.map ((*) weight)

            moments[name] <-
                match moments.TryGetValue name with
                | true, before -> Array.map2 (+) before weighted
                | _ -> weighted

    /// The moments of the whole batch of all ranks, layer by layer. A rank without images adds zeros.
    let ofAllRanks (ranks: IRanks) =
        let mine (layer: SignLayer) size =
            match moments.TryGetValue layer.Name with
            | true, found -> found
            | _ -> Array.zeroCreate size

        let start = Stopwatch.GetTimestamp()
        let all = ranks.Sum(List.map2 mine layers sizes |> Array.concat)
        let waited = Stopwatch.GetElapsedTime(start).TotalMilliseconds
        let starts = List.scan (+) 0 sizes

        [ for start, size in List.zip (List.truncate sizes.Length starts) sizes -> all[start .. start + size - 1] ],
        CommunicationTime(int64 (sizeof<float> * all.Length), waited, waited)

    let means (moments: float[]) = Array.truncate (moments.Length - 1) moments

    let add (factor: float) (values: float[]) (shift: torch.Tensor) =
        let values = torch.tensor(values).``to``(shift.dtype, shift.device).reshape shift.shape
        shift.PlusInPlace(values, factor) |> ignore

    let centerSign step (layer: SignLayer) moments =
        match layer.Shift with
        | None -> ()
        | Some shift ->
            shift.TimesInPlace(1.0 - step) |> ignore
            add (-step * layer.Beta) (means moments) shift

    /// The mean that the block before a layer adds to the stream.
    let added (stream: ResidualStream) before moments =
        let repeated = Array.replicate stream.Copies (means before) |> Array.concat
        means moments |> Array.mapi (fun i mean -> if stream.Copies = 0 then mean else mean - repeated[i])

    let centerStream step (before, (layer: SignLayer, moments)) =
        match layer.Stream with
        | None -> ()
        | Some stream ->
            add -step (added stream before moments) stream.Shift
            layer.Shift |> Option.iter (add (step * layer.Beta) (means moments))

    /// The variance of β·x, averaged over channels.
    let variance (layer: SignLayer) (moments: float[]) =
        let ofMeans = means moments |> Array.averageBy (fun mean -> mean * mean)
        layer.Beta * layer.Beta * max DataDependentInit.smallestVariance (Array.last moments - ofMeans)

    /// Only along a chain of residual layers: elsewhere a layer's signal does not accumulate.
    let shrinkGains step ((layer: SignLayer, next: SignLayer), (before, after)) =
        let excess = after / (growth * before) - 1.0

        if layer.IsResidual && next.IsResidual && excess > 0.0 then
            for gain in layer.Gains do
                gain.TimesInPlace(1.0 - 0.5 * step * min 1.0 excess) |> ignore

    /// <summary>Collects moments in the forward passes of a step.</summary>
    member val Hook: MicroBatchHook =
        let hook = SignLayers.hook layers (fun _ x -> SignInput.Moments x) seen

        { Begins = moments.Clear
          ForwardHook = fun _ -> hook
          Passed = addPart }

    /// <summary>Whether there is anything to centre.</summary>
    member _.IsNeeded = not layers.IsEmpty

    /// <summary>Updates shifts and gains at this learning rate, after the forward passes of the step; the time of its message to other ranks.</summary>
    member centering.Apply(ranks: IRanks, rate: float) : CommunicationTime =
        if centering.IsNeeded then
            use _ = torch.NewDisposeScope()
            use _ = torch.no_grad ()
            let step = pace * rate / recipe.LearningRate
            let moments, communication = ofAllRanks ranks

            if centersSigns then
                List.iter2 (centerSign step) layers moments
                let variances = List.map2 variance layers moments
                List.zip (List.pairwise layers) (List.pairwise variances) |> List.iter (shrinkGains step)

            if centersStream then
                let next = List.zip layers moments |> List.tail
                List.zip (List.truncate next.Length moments) next |> List.iter (centerStream (streamPace * step))

            if ranks.Size > 1 then communication else CommunicationTime()
        else
            CommunicationTime()
