namespace NormFree.Packing

open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch
open TorchSharp

/// <summary>Compares packed networks with the checkpoints that they were made from.</summary>
[<RequireQualifiedAccess>]
module Verification =

    let private noLayer key =
        { Key = key
          Signs = 0L
          Differing = 0L
          Zeros = 0L
          DifferingWeights = 0L
          DifferingThresholds = 0L
          Difference = 0.0
          Flips = 0L
          FarthestFlip = 0.0 }

    let private together a b =
        { a with
            Signs = a.Signs + b.Signs
            Differing = a.Differing + b.Differing
            Zeros = a.Zeros + b.Zeros
            Difference = Differences.worst a.Difference b.Difference
            Flips = a.Flips + b.Flips
            FarthestFlip = Differences.worst a.FarthestFlip b.FarthestFlip }

    /// Compares one layer on one image: x is the composite network's input, and the packed network's own input is used to count flips.
    let private ofLayer
        (composite: CompositePair)
        (runner: PackedRunner)
        number
        (step: PackedStep)
        (x: torch.Tensor)
        (free: float32[])
        =
        use scope = torch.NewDisposeScope()
        let height, width = int (x.size 2), int (x.size 3)
        let run = runner.RunLayer number
        let values, signs = run (Array.map float32 (Differences.channelsLast x)) height width
        let freeValues, freeSigns = run free height width
        let own = composite.Itself.Run(Evaluate, step.Graph, x)

        let found =
            match step.Kind with
            | Packed layer ->
                let channels = int (x.size 1)
                let before = CompositePair.beforeSign composite layer x
                let numbers = Differences.channelsLast before
                let flips = Differences.ofSigns freeSigns channels numbers

                let result = CompositePair.ofSigns composite layer x before

                { noLayer step.Key with
                    Signs = int64 numbers.Length
                    Differing = int64 (Differences.ofSigns signs channels numbers).Length
                    Zeros = numbers |> Array.sumBy (fun v -> if v = 0.0 then 1L else 0L)
                    Difference = Differences.relative (Differences.between values (Differences.channelsLast result))
                    Flips = int64 flips.Length
                    FarthestFlip = Differences.largest flips }
            | RealLayer _
            | MaxPoolLayer _
            | ClassifierLayer _ ->
                { noLayer step.Key with
                    Difference = Differences.relative (Differences.between values (Differences.channelsLast own)) }

        found, own.MoveToOuterDisposeScope(), freeValues

    /// Compares all layers on one image, 1×3×H×W. Values between layers are float32, as in the packed network.
    let private ofImage composite (runner: PackedRunner) (steps: PackedStep list) (image: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        let rounded (x: torch.Tensor) = x.``to``(torch.ScalarType.Float32).``to`` x.dtype

        let layers, (logits, free) =
            ((rounded image, Array.map float32 (Differences.channelsLast image)), List.indexed steps)
            ||> List.mapFold (fun (x, free) (number, step) ->
                let found, own, freeValues = ofLayer composite runner number step x free
                found, (rounded own, freeValues))

        let whole =
            runner.Run (Array.map float32 (FoldedFilters.doubles image)) (int (image.size 2)) (int (image.size 3))

        let difference, largest = Differences.between whole (Differences.channelsLast logits)

        { Images = 1
          Layers = layers
          ZeroWeights = 0L
          LogitDifference = difference
          LargestLogit = largest
          WholeDifference = Differences.relative (Differences.between whole (Array.map float free)) }

    let private sum (a: VerificationReport) (b: VerificationReport) =
        { Images = a.Images + b.Images
          Layers = List.map2 together a.Layers b.Layers
          ZeroWeights = a.ZeroWeights + b.ZeroWeights
          LogitDifference = Differences.worst a.LogitDifference b.LogitDifference
          LargestLogit = Differences.worst a.LargestLogit b.LargestLogit
          WholeDifference = Differences.worst a.WholeDifference b.WholeDifference }

    /// <summary>Compares a packed network with a checkpoint on images (N×3×H×W, normalised).</summary>
    /// <remarks>
    /// Binary weights and thresholds must equal those of the checkpoint bit for bit. Each packed layer receives the composite network's input to
    /// that layer, so that a sign flipped by rounding does not hide later differences; then both networks run separately. Throws TrainingException
    /// if the packed network was made from another network.
    /// </remarks>
    let run
        (checkpoint: Checkpoint)
        (model: PackedModel)
        (runner: PackedRunner)
        (batch: torch.Tensor)
        : VerificationReport =
        use _ = torch.NewDisposeScope()
        use _ = torch.no_grad ()
        let packed = Packing.ofCheckpoint checkpoint

        match PackedComparison.differences packed.Model model with
        | [] -> ()
        | why ->
            raise (TrainingException($"The packed network was made from another one: " + String.concat "; " why + "."))

        let network = checkpoint.Network
        let composite = CompositePair.ofNetwork network
        let steps = PackedStep.ofNet network.Spec
        let dtype = (snd network.Parameters.Head).dtype

        let found =
            batch.``to``(dtype).split(1L) |> Array.map (ofImage composite runner steps) |> Array.reduce sum

        { found with
            ZeroWeights = packed.ZeroWeights
            Layers =
                [ for layer, mine, theirs in
                      List.zip3 found.Layers (Seq.toList packed.Model.Layers) (Seq.toList model.Layers) ->
                      { layer with
                          DifferingWeights = PackedComparison.differingWeights mine theirs
                          DifferingThresholds = PackedComparison.differingThresholds mine theirs } ] }

    /// <summary>Normalised noise images of the checkpoint's size and element type.</summary>
    let noise (checkpoint: Checkpoint) (count: int) : torch.Tensor =
        use generator = new torch.Generator(1UL)
        let size = int64 checkpoint.ImageTask.Size
        let dtype = (snd checkpoint.Network.Parameters.Head).dtype
        torch.randn ([| int64 count; 3L; size; size |], dtype = dtype, generator = generator)
