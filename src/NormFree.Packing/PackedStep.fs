namespace NormFree.Packing

open NormFree.Runs
open NormFree.Spec

/// <summary>A 1×1 convolution with the key of its norm, if it has one. If <c>Centered</c>, its input is x minus the mean of x over channels.</summary>
type ShortcutProjection = { Convolution: ConvolutionSpec; Norm: string option; Centered: bool }

/// <summary>A downsampling shortcut: average pooling of β·x over kernel×kernel, then an optional projection.</summary>
type PooledPath = { Beta: float; Kernel: int; Projection: ShortcutProjection option }

/// <summary>The kind of a packed layer.</summary>
type PackedKind =
    /// A real convolution and the key of its norm, if it has one.
    | Stem of ConvolutionSpec * string option
    | StemPool of kernel: int * stride: int * padding: int
    /// A binary layer, with its shortcut unless that is the layer's own input.
    | Packed of FusedLayer * PooledPath option
    | Head of key: string * inputs: int * classes: int

/// <summary>A part of a network that becomes one layer of a packed file: its name there, its graph, and its kind.</summary>
type PackedStep = { Key: string; Graph: Graph; Kind: PackedKind }

/// <summary>Decides which networks can be packed, and into which layers.</summary>
[<RequireQualifiedAccess>]
module PackedStep =

    let private projection graph =
        let centered, rest =
            match graph with
            | Op CenterChannels :: rest -> true, rest
            | _ -> false, graph

        let projected conv norm = Some(Some { Convolution = conv; Norm = norm; Centered = centered })

        match rest with
        | [] when not centered -> Some None
        | [ Op(Convolve conv) ] when conv.Kernel = 1 && conv.Stride = 1 -> projected conv None
        | [ Op(Convolve conv); Op(Normalise(norm, _)) ] when conv.Kernel = 1 && conv.Stride = 1 ->
            projected conv (Some norm)
        | _ -> None

    let private pooled graph =
        let shortcut beta kernel rest =
            projection rest |> Option.map (fun found -> { Beta = beta; Kernel = kernel; Projection = found })

        match graph with
        | Chain(Op(Scale beta) :: Op(AveragePool kernel) :: rest) -> shortcut beta kernel rest
        | Chain(Op(AveragePool kernel) :: rest) -> shortcut 1.0 kernel rest
        | _ -> None

    let private kind (layer: FusedLayer) =
        match layer.Shortcut with
        | RepeatedInput -> Some(Packed(layer, None))
        | Computed graph -> pooled graph |> Option.map (fun shortcut -> Packed(layer, Some shortcut))

    /// The layers of a part that is not binary; None if it has operations that neither stems nor heads have.
    let rec private plain name operations =
        let followed step rest = plain name rest |> Option.map (fun steps -> step :: steps)

        match operations with
        | [] -> Some []
        | Convolve conv as op :: (Normalise(norm, _) as after) :: rest ->
            followed { Key = name; Graph = Chain [ Op op; Op after ]; Kind = Stem(conv, Some norm) } rest
        | Convolve conv as op :: rest -> followed { Key = name; Graph = Op op; Kind = Stem(conv, None) } rest
        | MaxPool(kernel, stride, padding) as op :: rest ->
            followed { Key = "maxpool"; Graph = Op op; Kind = StemPool(kernel, stride, padding) } rest
        | GlobalAveragePool as op :: (Linear(key, inputs, classes) as last) :: rest ->
            followed { Key = name; Graph = Chain [ Op op; Op last ]; Kind = Head(key, inputs, classes) } rest
        | _ -> None

    let private ofPart name graph part =
        match part with
        | Layer layer -> kind layer |> Option.map (fun kind -> [ { Key = name; Graph = graph; Kind = kind } ])
        | Plain graph -> plain name (Graph.operations graph)

    /// Why a network cannot be packed, if it cannot.
    let private obstacle (net: NetSpec) =
        match net.Body with
        | FullPrecision _ ->
            Some
                $"{net.Name} is a full-precision network, but packed files contain binary ones. Export it as pytorch, safetensors or onnx."
        | Binary body when body.Binarise = Activations ->
            Some
                $"{net.Name} has real weights, as after stage 1, but a packed file has one bit per weight. Train stage 2 from it \
                  (--binarise activations+weights --init CHECKPOINT) and pack the result."
        | Binary _ -> None

    /// <summary>The packed layers of a network, in the order in which they run.</summary>
    /// <remarks>Throws TrainingException if its weights are not binary, or if it has a layer that packed files do not support.</remarks>
    let ofNet (net: NetSpec) : PackedStep list =
        obstacle net |> Option.iter (fun why -> raise (TrainingException why))

        [ for name, graph in Lowering.parts net do
              match Fusion.parts graph |> List.map (ofPart name graph) with
              | found when List.forall Option.isSome found -> yield! found |> List.choose id |> List.concat
              | _ -> raise (TrainingException $"{net.Name}, {name}: packed files do not support this layer.") ]
