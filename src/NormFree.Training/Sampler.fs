namespace NormFree.Training

open System
open System.Collections.Generic
open NormFree.Networks
open NormFree.Runs
open NormFree.Kernels.Optimisers
open NormFree.Torch.Telemetry
open NormFree.Torch.Training
open TorchSharp

/// A sample in progress: statistics of the layers' inputs in the forward pass of one step.
type internal Sample =
    {
        /// From 1.
        Epoch: int
        /// The number of the step in its epoch, from 0.
        Step: int
        Inputs: Dictionary<string, ChannelStatistics>
        /// The mean squares of the channel means of shortcut convolutions' inputs.
        Shortcuts: Dictionary<string, float>
    }

/// The gradient of a layer's filters.
type private FilterGradient = { NormRatio: float; Norm: float }

/// The signs of all filters and activations, before or after a step.
type private Signs = { Filters: torch.Tensor list list; Activations: torch.Tensor list option }

/// <summary>Samples the binary layers of a network during training, without any effect on results.</summary>
/// <remarks><c>images</c> is called at the first sample. It returns a few test images, on which activation flips are measured, or None.</remarks>
[<Sealed>]
type internal Sampler(stage: string, network: Network, optimisation: Optimisation, images: unit -> torch.Tensor option)
    =

    let layers = SignLayers.ofNetwork network
    let probe = lazy (images () |> Option.map _.DetachFromDisposeScope())

    let activations images =
        SignLayers.evaluate
            network
            layers
            (fun layer x -> SignInput.Signs(x, layer.Beta, Option.toObj layer.Shift))
            images
        |> List.map snd

    let signs () =
        { Filters = layers |> List.map SignLayers.filterSigns
          Activations = probe.Value |> Option.map activations }

    /// The mean of ‖g‖/max(‖w‖, 1e-3) over a layer's filters, and the norm of their whole gradient.
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

    /// The clip counts of a layer's filters since the start of the epoch.
    let clipped (counts: IDictionary<string, ClipCount>) (layer: SignLayer) =
        layer.Convolutions
        |> List.map (fun (_, key, _) ->
            match counts.TryGetValue key with
            | true, count -> count
            | _ -> ClipCount())
        |> List.fold (+) (ClipCount())

    let clipCounts () =
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
          GradientNorm = gradient.Norm
          ShortcutMeanSquared =
            match sample.Shortcuts.TryGetValue layer.Name with
            | true, found -> found
            | _ -> nan }

    /// <summary>Starts a sample of the step that follows the cursor.</summary>
    member _.Start(cursor: TrainingCursor) : Sample =
        { Epoch = cursor.Epoch + 1; Step = cursor.Step; Inputs = Dictionary(); Shortcuts = Dictionary() }

    /// <summary>The hook for the forward pass of a sample's step.</summary>
    member _.ForwardHook(sample: Sample) : ForwardHook =
        ForwardHook.both
            (SignLayers.hook
                layers
                (fun layer x -> SignInput.Statistics(x, layer.Beta, Option.toObj layer.Shift))
                sample.Inputs)
            (SignLayers.shortcutHook layers SignInput.MeanSquared sample.Shortcuts)

    /// <summary>Calls <c>update</c>, which clips the gradients and takes the optimiser's step, and returns one row per layer.</summary>
    member _.Record(sample: Sample, update: unit -> unit) : LayerSample list =
        use _ = torch.NewDisposeScope()
        let gradients, counted, before = layers |> List.map gradient, clipCounts (), signs ()
        update ()
        let flips = flips before (signs ())

        let clipped =
            List.map2
                (fun (a: ClipCount) (b: ClipCount) -> ClipCount(b.Units - a.Units, b.Clipped - a.Clipped))
                counted
                (clipCounts ())

        [ for i, layer in List.indexed layers -> row sample layer gradients[i] clipped[i] flips[i] ]

    interface IDisposable with
        member _.Dispose() =
            if probe.IsValueCreated then
                probe.Value |> Option.iter _.Dispose()
