namespace NormFree.Packing

open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch
open TorchSharp

/// <summary>Compares packed networks with those that they were made of.</summary>
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

    /// One layer on one image: the composite network's input x, and what the packed network has at this place when it runs by itself.
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
            | Packed(layer, _) ->
                let channels = int (x.size 1)
                let before = CompositePair.beforeSign composite layer channels x
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
            | Stem _
            | StemPool _
            | Head _ ->
                { noLayer step.Key with
                    Difference = Differences.relative (Differences.between values (Differences.channelsLast own)) }

        found, own.MoveToOuterDisposeScope(), freeValues

    /// All layers on one image, 1×3×H×W. Between layers values are float32, as the packed network has them.
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

    /// <summary>Compares a packed network with a checkpoint's on images (N×3×H×W, normalised).</summary>
    /// <remarks>
    /// Binary weights and thresholds have to be those of the checkpoint, packed anew, bit for bit. Every packed layer gets the composite network's
    /// own input to that layer, so that a sign that rounding has turned does not hide what comes after it; then both networks run by themselves.
    /// Throws TrainingException where the packed network is of another network than the checkpoint's.
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

        match PackedLikeness.differences packed.Model model with
        | [] -> ()
        | why ->
            raise (TrainingException($"The packed network was made of another one: " + String.concat "; " why + "."))

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
                          DifferingWeights = PackedLikeness.differingWeights mine theirs
                          DifferingThresholds = PackedLikeness.differingThresholds mine theirs } ] }

    /// <summary>Images of noise, normalised, of the checkpoint's own size and type.</summary>
    let noise (checkpoint: Checkpoint) (count: int) : torch.Tensor =
        use generator = new torch.Generator(1UL)
        let size = int64 checkpoint.ImageTask.Size
        let dtype = (snd checkpoint.Network.Parameters.Head).dtype
        torch.randn ([| int64 count; 3L; size; size |], dtype = dtype, generator = generator)
