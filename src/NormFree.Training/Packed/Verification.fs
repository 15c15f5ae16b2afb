namespace NormFree.Training

open System
open System.Collections.Generic
open NormFree.Spec
open NormFree.Inference.Model
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
          Difference = 0.0
          Flips = 0L
          FarthestFlip = 0.0 }

    /// The larger one; NaN stays.
    let private worst (a: float) b = if Double.IsNaN a || a > b then a else b

    let private together a b =
        { a with
            Signs = a.Signs + b.Signs
            Differing = a.Differing + b.Differing
            Zeros = a.Zeros + b.Zeros
            Difference = worst a.Difference b.Difference
            Flips = a.Flips + b.Flips
            FarthestFlip = worst a.FarthestFlip b.FarthestFlip }

    /// The largest difference of two results, and the largest value of the second.
    let private compare (values: float32[]) (expected: float[]) =
        if values.Length <> expected.Length then
            nan, 0.0
        else
            let largest = expected |> Array.fold (fun most v -> worst (abs v) most) 0.0
            Array.fold2 (fun most a b -> worst (abs (float a - b)) most) 0.0 values expected, largest

    let private relative (difference, largest) = if difference = 0.0 then 0.0 else difference / largest

    let private singles values = Array.map float32 values

    /// Values of one image, channels last; logits have no map.
    let private map (x: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        FoldedFilters.doubles (if x.dim () = 4L then x.permute (0L, 2L, 3L, 1L) else x)

    let private isPlus (words: uint64[]) (channels: int) (place: int) =
        let pixel, channel = Math.DivRem(place, channels)
        (words[pixel * ((channels + 63) / 64) + channel / 64] >>> (channel % 64)) &&& 1UL = 1UL

    /// Places where packed signs are not those of these values, with the values there.
    let private differing (words: uint64[]) (channels: int) (values: float[]) =
        [| for place in 0 .. values.Length - 1 do
               if isPlus words channels place <> (values[place] >= 0.0) then
                   abs values[place] |]

    let private largestOf (values: float[]) = if values.Length = 0 then 0.0 else Array.max values

    /// Convolutions of a composite network that has +1 for binary weights that are exactly 0: their filter's scale is added for each of them.
    let private withoutZeros tensors (conv: ConvolutionSpec) (x: torch.Tensor) =
        use scope = torch.NewDisposeScope()
        let result = Convolutions.plain tensors conv x

        match if conv.Weight = Real then None else FoldedFilters.scaledZeros tensors conv with
        | None -> result.MoveToOuterDisposeScope()
        | Some missing ->
            let stride, padding = int64 conv.Stride, int64 conv.Padding

            let added =
                torch.nn.functional.conv2d (
                    x,
                    missing,
                    strides = [| stride; stride |],
                    padding = [| padding; padding |]
                )

            result.Plus(added).MoveToOuterDisposeScope()

    /// The two composite networks: as it is, and with +1 for the sign of 0.
    type private Composite = { Itself: CompositeEngine; Plus: CompositeEngine }

    /// The values before a layer's sign: β·x + b.
    let private beforeSign (composite: Composite) (layer: FusedLayer) channels x =
        let convolution = layer.Convolution

        let scale =
            [ if convolution.Beta <> 1.0 then
                  Op(Scale convolution.Beta) ]

        composite.Itself.Run(Evaluate, Chain(scale @ [ Op(Shift(convolution.Shift, channels)) ]), x)

    /// A binary layer's result with +1 for the sign of 0, from the values before its sign.
    let private ofSigns (composite: Composite) (layer: FusedLayer) (x: torch.Tensor) (before: torch.Tensor) =
        use scope = torch.NewDisposeScope()
        let run (graph: Graph) (input: torch.Tensor) = composite.Plus.Run(Evaluate, graph, input)
        let signs = before.IsAtLeast(0.0).``to``(x.dtype).Times(2.0).Plus(-1.0)

        let branches =
            [| for conv, norm in layer.Convolution.Convolutions do
                   let after = norm |> Option.map (fun key -> Op(Normalise(key, conv.Out))) |> Option.toList
                   run (Chain(Op(Convolve conv) :: after)) signs |]

        let branch = torch.cat(branches, 1L).Times layer.Convolution.Alpha

        let around =
            match layer.Shortcut with
            | Computed graph -> run graph x
            | Itself -> torch.cat (Array.replicate (int (branch.size 1 / x.size 1)) x, 1L)

        (run (Op(RPReLU layer.Activation)) (branch.Plus around)).MoveToOuterDisposeScope()

    /// One layer on one image: the composite network's input x, and what the packed network has at this place when it runs by itself.
    let private ofLayer
        (composite: Composite)
        (runner: PackedRunner)
        number
        (step: PackedStep)
        (x: torch.Tensor)
        (free: float32[])
        =
        use scope = torch.NewDisposeScope()
        let height, width = int (x.size 2), int (x.size 3)
        let run = runner.RunLayer number
        let values, signs = run (singles (map x)) height width
        let freeValues, freeSigns = run free height width
        let own = composite.Itself.Run(Evaluate, step.Graph, x)

        let found =
            match step.Kind with
            | Packed(layer, _) ->
                let channels = int (x.size 1)
                let before = beforeSign composite layer channels x
                let numbers = map before
                let flips = differing freeSigns channels numbers

                { noLayer step.Key with
                    Signs = int64 numbers.Length
                    Differing = int64 (differing signs channels numbers).Length
                    Zeros = numbers |> Array.sumBy (fun v -> if v = 0.0 then 1L else 0L)
                    Difference = relative (compare values (map (ofSigns composite layer x before)))
                    Flips = int64 flips.Length
                    FarthestFlip = largestOf flips }
            | Stem _
            | StemPool _
            | Head _ -> { noLayer step.Key with Difference = relative (compare values (map own)) }

        found, own.MoveToOuterDisposeScope(), freeValues

    /// All layers on one image, 1×3×H×W. Between layers values are float32, as the packed network has them.
    let private ofImage composite (runner: PackedRunner) (steps: PackedStep list) (image: torch.Tensor) =
        use _ = torch.NewDisposeScope()
        let rounded (x: torch.Tensor) = x.``to``(torch.ScalarType.Float32).``to`` x.dtype

        let layers, (logits, free) =
            ((rounded image, singles (map image)), List.indexed steps)
            ||> List.mapFold (fun (x, free) (number, step) ->
                let found, own, freeValues = ofLayer composite runner number step x free
                found, (rounded own, freeValues))

        let whole = runner.Run (singles (FoldedFilters.doubles image)) (int (image.size 2)) (int (image.size 3))
        let difference, largest = compare whole (map logits)

        { Images = 1
          Layers = layers
          ZeroWeights = 0L
          LogitDifference = difference
          LargestLogit = largest
          WholeDifference = relative (compare whole (Array.map float free)) }

    let private sum a b =
        { Images = a.Images + b.Images
          Layers = List.map2 together a.Layers b.Layers
          ZeroWeights = a.ZeroWeights + b.ZeroWeights
          LogitDifference = worst a.LogitDifference b.LogitDifference
          LargestLogit = worst a.LargestLogit b.LargestLogit
          WholeDifference = worst a.WholeDifference b.WholeDifference }

    /// <summary>Compares a packed network with a checkpoint's on images (N×3×H×W, normalised).</summary>
    /// <remarks>
    /// Every packed layer gets the composite network's own input to that layer, so that a sign that rounding has turned does not hide what comes
    /// after it; then both networks run by themselves. Throws TrainingException where the packed network is of another network than the
    /// checkpoint's.
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
        let tensors = Dictionary(dict network.Tensors)

        let composite =
            { Itself = CompositeEngine(Convolutions.plain tensors, tensors)
              Plus = CompositeEngine(withoutZeros tensors, tensors) }

        let steps = PackedStep.ofNet network.Spec
        let dtype = (snd network.Parameters.Head).dtype

        let found =
            batch.``to``(dtype).split(1L) |> Array.map (ofImage composite runner steps) |> Array.reduce sum

        { found with
            ZeroWeights = packed.ZeroWeights
            Layers =
                [ for layer, mine, theirs in
                      List.zip3 found.Layers (Seq.toList packed.Model.Layers) (Seq.toList model.Layers) ->
                      { layer with DifferingWeights = PackedLikeness.differingWeights mine theirs } ] }

    /// <summary>Images of noise, normalised, of the checkpoint's own size and type.</summary>
    let noise (checkpoint: Checkpoint) (count: int) : torch.Tensor =
        use generator = new torch.Generator(1UL)
        let size = int64 checkpoint.Task.Size
        let dtype = (snd checkpoint.Network.Parameters.Head).dtype
        torch.randn ([| int64 count; 3L; size; size |], dtype = dtype, generator = generator)
