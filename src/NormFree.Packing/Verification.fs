namespace NormFree.Packing

open System.Collections.Generic
open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
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

    /// The input of a step on one image.
    type private State =
        {
            /// The composite network's map.
            X: torch.Tensor
            /// The same for the packed layer, channels last.
            Given: PackedMap
            /// The packed network's own map.
            Free: PackedMap
        }

    /// The layers of a step in the packed file: an addition may have its bias in a layer of its own.
    let private numbered (model: PackedModel) (steps: PackedStep list) : (int list * PackedStep) list =
        (0, steps)
        ||> List.mapFold (fun next step ->
            let hasBias = model.Layers[next].Key <> step.Key && next + 1 < model.Layers.Count
            let own = if hasBias then [ next; next + 1 ] else [ next ]
            (own, step), next + own.Length)
        |> fst

    /// Values before a sign at which rounding decides, relative to the largest: a norm before the sign is computed in another order.
    let private undecided (layer: BinaryLayer) (values: float[]) =
        if layer.Convolution.NormBefore.IsSome then
            1e-6 * (values |> Array.map abs |> Array.max)
        else
            -1.0

    /// Compares a binary layer: its signs for the composite network's input, and those of the packed network's own run.
    let private ofBinary composite tensors (step: PackedStep) (layer: BinaryLayer) x (values, signs) freeSigns =
        let channels = layer.Convolution.In
        let flipped = (SignInputs.ofConvolution tensors layer.Convolution).Flipped
        let before = CompositePair.beforeSign composite layer x

        let numbers =
            Differences.channelsLast before
            |> Array.mapi (fun i value -> if flipped[i % channels] then -value else value)

        let undecided = undecided layer numbers
        let decided = Array.filter (fun magnitude -> magnitude > undecided)
        let flips = Differences.ofSigns freeSigns channels numbers
        let result = CompositePair.ofSigns composite layer x before

        { noLayer step.Key with
            Signs = int64 numbers.Length
            Differing = int64 (decided (Differences.ofSigns signs channels numbers)).Length
            Zeros = numbers |> Array.sumBy (fun v -> if v = 0.0 then 1L else 0L)
            Difference = Differences.relative (Differences.between values (Differences.channelsLast result))
            Flips = int64 flips.Length
            FarthestFlip = Differences.largest flips }

    let private mapOf (x: torch.Tensor) : PackedMap =
        let height, width = if x.dim () = 4L then int (x.size 2), int (x.size 3) else 1, 1
        { Values = Array.map float32 (Differences.channelsLast x); Height = height; Width = width }

    /// The packed layers of a step on a map: the output, and the signs of the input.
    let private runOn
        (runner: PackedRunner)
        numbers
        (inputs: Map<string, State>)
        pick
        (step: PackedStep)
        (map: PackedMap)
        =
        match step.Kind, numbers with
        | AddLayer(from, _), numbers ->
            let last = List.last numbers

            let map =
                (map, numbers |> List.filter ((<>) last))
                ||> List.fold (fun map number ->
                    { map with Values = fst (runner.RunLayer number map.Values map.Height map.Width) })

            runner.RunAdd last map (pick inputs[from]), [||]
        | _, numbers -> runner.RunLayer numbers.Head map.Values map.Height map.Width

    /// The composite network's output of a step.
    let private ownOf (composite: CompositePair) (inputs: Map<string, State>) (step: PackedStep) (x: torch.Tensor) =
        match step.Kind with
        | AddLayer(from, _) -> x.Plus(composite.Itself.Run(Evaluate, step.Graph, inputs[from].X))
        | _ -> composite.Itself.Run(Evaluate, step.Graph, x)

    /// Compares one step on one image; the packed network's own input is used to count flips.
    let private ofStep
        composite
        tensors
        (runner: PackedRunner)
        (inputs: Map<string, State>)
        (numbers, step: PackedStep)
        state
        =
        use scope = torch.NewDisposeScope()
        let values, signs = runOn runner numbers inputs _.Given step state.Given
        let freeValues, freeSigns = runOn runner numbers inputs _.Free step state.Free
        let own = ownOf composite inputs step state.X
        let rounded = own.``to``(torch.ScalarType.Float32).``to`` own.dtype

        // Flattened maps keep their order in a packed network.
        let given =
            match step.Kind with
            | FlattenLayer _ -> { state.Given with Height = 1; Width = 1 }
            | _ -> mapOf rounded

        let found =
            match step.Kind with
            | Packed layer -> ofBinary composite tensors step layer state.X (values, signs) freeSigns
            | FlattenLayer _ -> noLayer step.Key
            | _ ->
                { noLayer step.Key with
                    Difference = Differences.relative (Differences.between values (Differences.channelsLast own)) }

        found, { X = rounded.MoveToOuterDisposeScope(); Given = given; Free = { given with Values = freeValues } }

    /// Compares all layers on one image, 1×3×H×W. Values between layers are float32, as in the packed network.
    let private ofImage
        composite
        tensors
        (runner: PackedRunner)
        (steps: (int list * PackedStep) list)
        (image: torch.Tensor)
        =
        use _ = torch.NewDisposeScope()
        let rounded = image.``to``(torch.ScalarType.Float32).``to`` image.dtype
        let start = { X = rounded; Given = mapOf rounded; Free = mapOf image }

        let layers, (last, _) =
            ((start, Map.empty), steps)
            ||> List.mapFold (fun (state, inputs) (numbers, step) ->
                let inputs = inputs |> Map.add step.Key state
                let found, next = ofStep composite tensors runner inputs (numbers, step) state
                found, (next, inputs))

        let whole =
            runner.Run (Array.map float32 (FoldedFilters.doubles image)) (int (image.size 2)) (int (image.size 3))

        let difference, largest = Differences.between whole (Differences.channelsLast last.X)

        { Images = 1
          Layers = layers
          ZeroWeights = 0L
          LogitDifference = difference
          LargestLogit = largest
          WholeDifference = Differences.relative (Differences.between whole (Array.map float last.Free.Values)) }

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
        let steps = PackedStep.ofNet network.Spec |> numbered model
        let tensors = Dictionary(dict network.Tensors)
        let dtype = (snd network.Parameters.Head).dtype

        let found =
            batch.``to``(dtype).split(1L)
            |> Array.map (ofImage composite tensors runner steps)
            |> Array.reduce sum

        { found with
            ZeroWeights = packed.ZeroWeights
            Layers =
                [ for layer, (numbers, _) in List.zip found.Layers steps ->
                      let mine, theirs = packed.Model.Layers[List.last numbers], model.Layers[List.last numbers]

                      { layer with
                          DifferingWeights = PackedComparison.differingWeights mine theirs
                          DifferingThresholds = PackedComparison.differingThresholds mine theirs } ] }

    /// <summary>Normalised noise images of the checkpoint's size and element type.</summary>
    let noise (checkpoint: Checkpoint) (count: int) : torch.Tensor =
        use generator = new torch.Generator(1UL)
        let size = int64 checkpoint.ImageTask.Size
        let dtype = (snd checkpoint.Network.Parameters.Head).dtype
        torch.randn ([| int64 count; 3L; size; size |], dtype = dtype, generator = generator)
