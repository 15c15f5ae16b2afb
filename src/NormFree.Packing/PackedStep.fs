namespace NormFree.Packing

open NormFree.Runs
open NormFree.Spec

/// <summary>The kind of a packed layer.</summary>
type PackedKind =
    /// A real convolution and the key of its norm, if it has one.
    | RealLayer of ConvolutionSpec * string option
    | MaxPoolLayer of kernel: int * stride: int * padding: int
    /// A binary layer.
    | Packed of BinaryLayer
    | ClassifierLayer of key: string * inputs: int * classes: int

/// <summary>A part of a network that becomes one layer of a packed file: its name there, its graph, and its kind.</summary>
type PackedStep = { Key: string; Graph: Graph; Kind: PackedKind }

/// <summary>Decides which networks can be packed, and into which layers.</summary>
[<RequireQualifiedAccess>]
module PackedStep =

    /// A block's graphs in order.
    let rec private pieces graph =
        match graph with
        | Chain parts -> List.collect pieces parts
        | other -> [ other ]

    let private describe graph =
        match graph with
        | Op op -> (sprintf "%A" op).Split([| ' '; '\n' |])[0]
        | Residual _ -> "a shortcut over several convolutions"
        | Parallel _ -> "a concatenation"
        | Chain _
        | Layer _ -> "a binary layer"

    /// Why packed files do not have this binary layer, if they do not.
    let private layerObstacle (layer: BinaryLayer) =
        let conv = fst layer.Convolution.Convolutions.Head

        match layer.Shortcut, layer.Activation with
        | _ when conv.Groups > 1 || conv.Dilation > 1 -> Some "its convolution has groups or dilation"
        | _ when layer.Convolution.NormBefore.IsSome -> Some "it has a norm before the sign"
        | NoShortcut, _ -> Some "it has no shortcut"
        | Concatenated, _ -> Some "its output is concatenated"
        | Computed _, _ -> Some "its shortcut is not an average pool"
        | Pooled { Projection = Some { Convolution = conv } }, _ when conv.Stride <> 1 || conv.Kernel <> 1 ->
            Some "its shortcut's convolution is not 1×1"
        | _, (None | Some(Op.RPReLU _ | Op.PReLU _ | Op.ReLU)) -> None
        | _, Some op -> Some $"its activation is {describe (Op op)}"

    /// The packed layers of a block's graphs, or why it has none.
    let rec private steps name graphs : Result<PackedStep list, string> =
        let followed step rest = steps name rest |> Result.map (fun steps -> step :: steps)

        match graphs with
        | [] -> Ok []
        | (Op(Op.Convolve conv) as first) :: (Op(Op.Normalise(norm, _)) as second) :: rest when conv.Groups = 1 ->
            followed { Key = conv.Key; Graph = Chain [ first; second ]; Kind = RealLayer(conv, Some norm) } rest
        | (Op(Op.Convolve conv) as first) :: rest when conv.Groups = 1 ->
            followed { Key = conv.Key; Graph = first; Kind = RealLayer(conv, None) } rest
        | (Op(Op.MaxPool(kernel, stride, padding)) as pool) :: rest ->
            followed { Key = "maxpool"; Graph = pool; Kind = MaxPoolLayer(kernel, stride, padding) } rest
        | (Op Op.GlobalAveragePool as pool) :: (Op(Op.Linear(key, inputs, classes)) as last) :: rest ->
            followed { Key = name; Graph = Chain [ pool; last ]; Kind = ClassifierLayer(key, inputs, classes) } rest
        | Layer layer :: rest ->
            match layerObstacle layer with
            | Some why -> Error $"{layer.Name}: {why}"
            | None -> followed { Key = layer.Name; Graph = Layer layer; Kind = Packed layer } rest
        | graph :: _ -> Error $"{name}: {describe graph}"

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

    /// <summary>The packed layers of a network, in the order in which they run.</summary>
    /// <remarks>Throws TrainingException if its weights are not binary, or if it has a layer that packed files do not support.</remarks>
    let ofNet (net: NetSpec) : PackedStep list =
        obstacle net |> Option.iter (fun why -> raise (TrainingException why))

        [ for name, graph in Lowering.parts net do
              match steps name (pieces graph) with
              | Ok found -> yield! found
              | Error what -> raise (TrainingException $"{net.Name}: packed files do not support {what}.") ]
