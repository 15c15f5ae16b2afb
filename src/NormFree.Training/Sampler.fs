namespace NormFree.Training

open System
open System.Collections.Generic
open NormFree.Networks
open NormFree.Runs
open NormFree.Kernels.Optimisers
open NormFree.Torch.Telemetry
open NormFree.Torch.Training
open TorchSharp

/// A sample under way: what the layers' inputs look like in the forward pass of one step.
type internal Sample =
    {
        /// From 1.
        Epoch: int
        /// Steps of the epoch before this one.
        Step: int
        Inputs: Dictionary<string, ChannelStatistics>
    }

/// What a step is about to do to a layer's filters.
type private FilterGradient = { NormRatio: float; Norm: float }

/// The signs of all layers, of filters and of activations, before or behind a step.
type private Signs = { Filters: torch.Tensor list list; Activations: torch.Tensor list option }

/// <summary>Takes samples of a network that is being trained. It changes nothing that a result depends on.</summary>
/// <remarks><c>images</c> gives a few test images to watch the activations of, or nothing; it is asked at the first sample.</remarks>
[<Sealed>]
type internal Sampler(stage: string, network: Network, optimisation: Optimisation, images: unit -> torch.Tensor option)
    =

    let layers = SignLayers.ofNetwork network
    let watched = lazy (images () |> Option.map _.DetachFromDisposeScope())

    let activations images =
        SignLayers.evaluate network layers (fun layer x -> SignInput.Signs(x, layer.Beta, layer.Shift)) images
        |> List.map snd

    let signs () =
        { Filters = layers |> List.map SignLayers.filterSigns
          Activations = watched.Value |> Option.map activations }

    /// ‖g‖ and ‖w‖ of all filters of a layer.
    let gradient (layer: SignLayer) =
        let norms =
            [| for _, _, weight in layer.Convolutions do
                   let weights = AdaptiveGradientClipping.UnitNorms weight

                   match weight.grad with
                   | null -> Array.zip (Array.zeroCreate weights.Length) weights
                   | gradient -> Array.zip (AdaptiveGradientClipping.UnitNorms gradient) weights |]
            |> Array.concat

        let ratio (gradient, weight) = gradient / max weight AgcLimits.MinParameterNorm

        { NormRatio = norms |> Array.averageBy ratio
          Norm = norms |> Array.sumBy (fun (gradient, _) -> gradient * gradient) |> sqrt }

    /// What was clipped of a layer's filters since counting began.
    let clipped (counts: IDictionary<string, ClipCount>) (layer: SignLayer) =
        layer.Convolutions
        |> List.map (fun (_, key, _) ->
            match counts.TryGetValue key with
            | true, count -> count
            | _ -> ClipCount())
        |> List.fold (+) (ClipCount())

    let clippedNow () =
        let counts = dict optimisation.ClipCounts
        layers |> List.map (clipped counts)

    let flips (before: Signs) (after: Signs) =
        let filters = List.map2 SignLayers.flips before.Filters after.Filters

        let activations =
            match before.Activations, after.Activations with
            | Some before, Some after -> List.map2 (fun a b -> SignLayers.flips [ a ] [ b ]) before after
            | _ -> layers |> List.map (fun _ -> nan)

        List.zip filters activations

    let row (sample: Sample) (layer: SignLayer) gradient (clipped: ClipCount) (filterFlips, activationFlips) =
        let input = sample.Inputs[layer.Name]

        { Stage = stage
          Epoch = sample.Epoch
          Step = sample.Step
          Layer = layer.Name
          MeanSquared = input.Mean |> Array.averageBy (fun mean -> mean * mean)
          Variance = Array.average input.Variance
          ExpectedVariance = layer.ExpectedVariance
          Window = input.Window
          Positive = Array.average input.Positive
          PositiveLowest = Array.min input.Positive
          PositiveHighest = Array.max input.Positive
          DeadChannels = input.Positive |> Array.filter FiniteChecks.isOneSign |> Array.length
          Channels = input.Positive.Length
          ActivationFlips = activationFlips
          WeightFlips = filterFlips
          Clipped = clipped.Fraction
          NormRatio = gradient.NormRatio
          GradientNorm = gradient.Norm }

    /// <summary>Begins a sample: of the step behind this position.</summary>
    member _.Begin(position: TrainingCursor) : Sample =
        { Epoch = position.Epoch + 1; Step = position.Step; Inputs = Dictionary() }

    /// <summary>What looks at the forward pass of a sample's step.</summary>
    member _.ForwardHook(sample: Sample) : ForwardHook =
        SignLayers.watching layers (fun layer x -> SignInput.Statistics(x, layer.Beta, layer.Shift)) sample.Inputs

    /// <summary>Ends a sample around the clipping and the move of its step, whose gradients are there: a row a layer.</summary>
    member _.Record(sample: Sample, move: unit -> unit) : LayerSample list =
        use _ = torch.NewDisposeScope()
        let gradients, counted, before = layers |> List.map gradient, clippedNow (), signs ()
        move ()
        let flips = flips before (signs ())

        let clipped =
            List.map2
                (fun (a: ClipCount) (b: ClipCount) -> ClipCount(b.Units - a.Units, b.Clipped - a.Clipped))
                counted
                (clippedNow ())

        [ for i, layer in List.indexed layers -> row sample layer gradients[i] clipped[i] flips[i] ]

    interface IDisposable with
        member _.Dispose() =
            if watched.IsValueCreated then
                watched.Value |> Option.iter _.Dispose()
