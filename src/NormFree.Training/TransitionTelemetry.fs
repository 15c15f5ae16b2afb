namespace NormFree.Training

open System
open System.Collections.Generic
open System.IO
open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Torch.Telemetry
open TorchSharp

/// Telemetry of the transition from real to binary weights: how binarising changes the input of every binary layer.
[<RequireQualifiedAccess>]
module internal TransitionTelemetry =

    let private maxImages = 256

    /// Channel means and the mean square of every layer's input, and the mean squares of shortcuts' channel means.
    type private Inputs = { Layers: Dictionary<string, float[]>; Shortcuts: Dictionary<string, float> }

    /// Runs an action, and then restores the running statistics of batch norm.
    let private keepingBuffers (network: Network) action =
        use _ = torch.NewDisposeScope()
        let saved = [ for _, buffer in network.Buffers -> buffer, buffer.clone () ]

        try
            action ()
        finally
            for buffer, before in saved do
                buffer.copy_ before |> ignore

    /// Batch norm uses the statistics of these images, as in training.
    let private inputs (network: Network) (images: torch.Tensor) =
        use _ = torch.no_grad ()
        let layers = SignLayers.ofNetwork network
        let inputs = { Layers = Dictionary(); Shortcuts = Dictionary() }

        let hook =
            ForwardHook.both
                (SignLayers.hook layers (fun _ x -> SignInput.Moments x) inputs.Layers)
                (SignLayers.shortcutHook layers SignInput.MeanSquared inputs.Shortcuts)

        let mode = if network.Buffers.IsEmpty then Evaluate else Train
        keepingBuffers network (fun () -> network.Forward(images, mode, hook).Dispose())
        layers, inputs

    let private means (moments: float[]) = Array.truncate (moments.Length - 1) moments
    let private meanSquared moments = means moments |> Array.averageBy (fun mean -> mean * mean)
    let private variance moments = Array.last moments - meanSquared moments

    /// <summary>One row per binary layer of a network with binary weights, which <c>before</c> (with the same tensors) has not.</summary>
    let rows (before: Network) (after: Network) (images: torch.Tensor) : TransitionSample list =
        let layers, real = inputs before images
        let _, binary = inputs after images

        [ for layer in layers ->
              let x, y = real.Layers[layer.Name], binary.Layers[layer.Name]

              { Layer = layer.Name
                MeanChange = Array.map2 (fun a b -> (b - a) * (b - a)) (means x) (means y) |> Array.average
                MeanSquaredBefore = meanSquared x
                MeanSquaredAfter = meanSquared y
                VarianceBefore = variance x
                VarianceAfter = variance y
                ShortcutMeanSquared =
                  match real.Shortcuts.TryGetValue layer.Name with
                  | true, found -> found
                  | _ -> nan } ]

    let private write (plan: Plan) number rows =
        match StageResume.writableFolder plan with
        | None -> ()
        | Some folder ->
            try
                TelemetryFiles.makeFolder folder
                ColumnFile.write (TelemetryFiles.transition folder number) rows
            with
            | :? IOException
            | :? UnauthorizedAccessException as error ->
                plan.Options.OnEvent(
                    Warning
                        $"{error.Message.TrimEnd('.')}: the telemetry of the transition was not written. Training continues."
                )

    /// <summary>Records the transition if the network starts with the weights of a network with real weights. All ranks measure, and the first one
    /// writes.</summary>
    let record (plan: Plan) number (recipe: Recipe) (source: NetSpec option) (network: Network) =
        match source with
        | Some before when
            plan.Folder.IsSome
            && plan.Options.Telemetry <> Never
            && Net.isBinary network.Spec
            && before.Binarise = Activations
            && network.Spec.Binarise = ActivationsAndWeights
            ->
            use _ = torch.NewDisposeScope()
            let train, _ = StageImages.split recipe plan.Dataset
            let count = min maxImages recipe.Batch

            try
                let task = ImageTask.Of plan.Dataset
                let quiet = { plan.Options with OnEvent = ignore; Strict = false }
                let images = DataDependentInit.images quiet task recipe train network count
                rows (Network.inStage before.Binarise network) network images |> write plan number
            with :? DataException ->
                // The training reads the same images, and reports them.
                ()
        | _ -> ()
