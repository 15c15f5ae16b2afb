namespace NormFree.Packing

open NormFree.Runs
open NormFree.Spec

/// <summary>The kind of a packed layer.</summary>
type PackedKind =
    /// A real convolution and the key of its norm, if it has one.
    | RealLayer of ConvolutionSpec * string option
    | MaxPoolLayer of kernel: int * stride: int * padding: int
    | AveragePoolLayer of kernel: int
    | FlattenLayer of side: int
    /// Scales, shifts and norms, then at most one PReLU or ReLU, then at most one HardTanh.
    | AffineLayer of Op list
    /// A binary layer. Its activation is one that the epilogue has.
    | Packed of BinaryLayer
    /// Adds the input of the layer with this key, with a shortcut that is its own or pooled.
    | AddLayer of from: string * LayerShortcut
    | ClassifierLayer of key: string * inputs: int * classes: int

/// <summary>A part of a network that becomes one layer of a packed file: its name there, its graph, and its kind. The graph of an
/// <c>AddLayer</c> is that of its shortcut.</summary>
type PackedStep = { Key: string; Graph: Graph; Kind: PackedKind }

/// <summary>Decides which networks can be packed, and into which layers.</summary>
[<RequireQualifiedAccess>]
module PackedStep =

    let private describe op =
        match op with
        | Op.CustomActivation name -> $"the custom activation '{name}'"
        | Op.Convolve conv -> $"the convolution {conv.Key}"
        | op -> $"%A{op}".Split([| ' '; '\n' |])[0]

    let private projectionObstacle (projection: ShortcutProjection option) =
        match projection with
        | Some { Convolution = conv } when conv.Stride <> 1 || conv.Kernel <> 1 ->
            Some "its shortcut's convolution is not 1×1"
        | _ -> None

    let private shortcutObstacle shortcut =
        match shortcut with
        | Computed _ -> Some "its shortcut is not an average pool"
        | Pooled { Projection = projection } -> projectionObstacle projection
        | NoShortcut
        | RepeatedInput _
        | Concatenated -> None

    let private layerObstacle (layer: BinaryLayer) =
        let conv = fst layer.Convolution.Convolutions.Head

        if conv.Groups > 1 || conv.Dilation > 1 then
            Some "its binary convolution has groups or dilation"
        else
            shortcutObstacle layer.Shortcut

    let private refuse name what = Error $"{name}: {what}"

    /// The affine operations at the start of a list, as far as one layer takes them.
    let rec private affine (taken: Op list) graphs =
        let follows op =
            match List.tryHead taken, op with
            | Some Op.HardTanh, _ -> false
            | Some(Op.ReLU | Op.PReLU _), Op.HardTanh -> true
            | Some(Op.ReLU | Op.PReLU _), _ -> false
            | _ -> true

        match graphs with
        | Op(Op.Normalise _ | Op.Scale _ | Op.Shift _ | Op.ReLU | Op.PReLU _ | Op.HardTanh as op) :: rest when
            follows op
            ->
            affine (op :: taken) rest
        | _ -> List.rev taken, graphs

    /// An RPReLU outside a binary layer as two shifts around a PReLU.
    let private expanded graphs =
        graphs
        |> List.collect (function
            | Op(Op.RPReLU names) ->
                [ Op(Op.Shift(names.ShiftIn, names.Channels))
                  Op(Op.PReLU(names.Slopes, names.Channels))
                  Op(Op.Shift(names.ShiftOut, names.Channels)) ]
            | graph -> [ graph ])

    /// A block's graphs in order.
    let rec private pieces graph =
        match graph with
        | Chain parts -> List.collect pieces parts
        | other -> [ other ]

    /// Splits an activation that the epilogue of this layer does not have.
    let private split (layer: BinaryLayer) =
        match layer.Activation with
        | None -> layer, []
        | Some(Op.RPReLU _ | Op.PReLU _ | Op.ReLU) when layer.Shortcut <> Concatenated -> layer, []
        | Some op -> { layer with Activation = None }, [ Op op ]

    /// Layers whose weights are reordered for a flattened map.
    let private takesVectors graphs =
        match graphs with
        | Op(Op.Linear _) :: _ -> true
        | Op(Op.Convolve conv) :: _ -> conv.Kernel = 1
        | _ -> false

    /// The packed layers of a block's graphs, or why it has none.
    let rec private steps name graphs : Result<PackedStep list, string> =
        let followed step rest = steps name rest |> Result.map (fun steps -> step :: steps)

        match expanded graphs with
        | [] -> Ok []
        | (Op(Op.Convolve conv) as first) :: (Op(Op.Normalise(norm, _)) as second) :: rest ->
            followed { Key = conv.Key; Graph = Chain [ first; second ]; Kind = RealLayer(conv, Some norm) } rest
        | (Op(Op.Convolve conv) as first) :: rest ->
            followed { Key = conv.Key; Graph = first; Kind = RealLayer(conv, None) } rest
        | (Op(Op.MaxPool(kernel, stride, padding)) as pool) :: rest ->
            followed
                { Key = (if name = "conv1" then "maxpool" else $"{name}.maxpool")
                  Graph = pool
                  Kind = MaxPoolLayer(kernel, stride, padding) }
                rest
        | (Op(Op.AveragePool kernel) as pool) :: rest ->
            followed { Key = $"{name}.avgpool"; Graph = pool; Kind = AveragePoolLayer kernel } rest
        | Op(Op.Flatten side) :: rest when side > 1 && not (takesVectors rest) ->
            refuse name "a flattened map before anything but a linear layer or a real 1×1 convolution"
        | (Op(Op.Flatten side) as flatten) :: rest ->
            followed { Key = $"{name}.flatten"; Graph = flatten; Kind = FlattenLayer side } rest
        | (Op Op.GlobalAveragePool as pool) :: (Op(Op.Linear(key, inputs, classes)) as last) :: rest ->
            followed { Key = key; Graph = Chain [ pool; last ]; Kind = ClassifierLayer(key, inputs, classes) } rest
        | (Op(Op.Linear(key, inputs, classes)) as last) :: rest ->
            followed { Key = key; Graph = last; Kind = ClassifierLayer(key, inputs, classes) } rest
        | Layer layer :: rest ->
            match layerObstacle layer, split layer with
            | Some why, _ -> refuse layer.Name why
            | None, (layer, activation) ->
                followed { Key = layer.Name; Graph = Layer layer; Kind = Packed layer } (activation @ rest)
        | Residual(branch, shortcut) :: rest -> residual name branch shortcut rest
        | Parallel _ :: _ -> refuse name "several layers before a concatenation"
        | Op op :: _ as graphs ->
            match affine [] graphs with
            | [], _ -> refuse name (describe op)
            | ops, rest ->
                followed { Key = $"{name}.affine"; Graph = Chain(List.map Op ops); Kind = AffineLayer ops } rest
        | Chain _ :: _ as graphs -> steps name (List.collect pieces graphs)

    /// A residual block of several layers.
    and private residual name branch shortcut rest =
        match shortcutObstacle shortcut, steps name (pieces branch) with
        | Some why, _ -> refuse name why
        | None, Ok(first :: _ as branch) ->
            steps name rest
            |> Result.map (fun rest ->
                branch
                @ { Key = $"{first.Key}.add"
                    Graph = Graph.ofShortcut shortcut
                    Kind = AddLayer(first.Key, shortcut) }
                  :: rest)
        | None, Ok [] -> refuse name "an empty branch"
        | None, Error what -> Error what

    /// Numbers repeated keys: affine, affine.2. A shortcut starts from its block's first layer.
    let private numbered counts (steps: PackedStep list) =
        let steps, counts =
            (counts, steps)
            ||> List.mapFold (fun counts step ->
                let count = 1 + (counts |> Map.tryFind step.Key |> Option.defaultValue 0)
                let key = if count = 1 then step.Key else $"{step.Key}.{count}"
                { step with Key = key }, Map.add step.Key count counts)

        let started step =
            match step.Kind with
            | AddLayer(_, shortcut) -> { step with Kind = AddLayer(steps.Head.Key, shortcut) }
            | _ -> step

        List.map started steps, counts

    /// Why a network cannot be packed, if it cannot.
    let private obstacle (net: NetSpec) =
        if not (Net.isBinary net) then
            Some
                $"{net.Name} is a full-precision network, but packed files contain binary ones. Export it as pytorch, safetensors or onnx."
        elif net.Binarise = Activations then
            Some
                $"{net.Name} has real weights, as after stage 1, but a packed file has one bit per weight. Train stage 2 from it \
                  (--binarise activations+weights --init CHECKPOINT) and pack the result."
        else
            None

    /// Binary layers whose own filters stay real in stage 2 have no packed form.
    let private realFilters (net: NetSpec) =
        Lowering.layers net
        |> List.tryFind (fun layer -> (fst layer.Convolution.Convolutions.Head).Weight = Real)
        |> Option.map (fun layer -> $"{layer.Name}: its filters are real in stage 2")

    /// <summary>The packed layers of a network, in the order in which they run, or why it cannot be packed: its weights are not binary, or it has a
    /// layer that packed files do not support.</summary>
    let tryOfNet (net: NetSpec) : Result<PackedStep list, string> =
        let unsupported what = Error $"{net.Name}: packed files do not support {what}."

        let add found (name, graph) =
            match found, steps name (pieces graph) with
            | Error _, _ -> found
            | Ok(before, counts), Ok more ->
                let more, counts = numbered counts more
                Ok(before @ more, counts)
            | Ok _, Error what -> unsupported what

        match obstacle net, realFilters net with
        | Some why, _ -> Error why
        | None, Some what -> unsupported what
        | None, None -> Lowering.parts net |> List.fold add (Ok([], Map.empty)) |> Result.map fst

    /// <summary>The packed layers of a network, in the order in which they run.</summary>
    /// <remarks>Throws TrainingException with the reason if the network cannot be packed.</remarks>
    let ofNet (net: NetSpec) : PackedStep list =
        match tryOfNet net with
        | Ok steps -> steps
        | Error why -> raise (TrainingException why)
