namespace NormFree.Spec

/// <summary>A binary convolution with all that belongs to it: α·N(w ∗ sign(β·x + b)), or several side by side on the same signs.</summary>
type SignConvolution =
    {
        /// β.
        Beta: float
        /// Key of b.
        Shift: string
        /// Each with the key of its norm, where it has one; their results are concatenated.
        Convolutions: (ConvolutionSpec * string option) list
        /// α.
        Alpha: float
    }

/// <summary>What is added to a binary convolution.</summary>
type FusedShortcut =
    /// x, repeated over the channels as often as the convolution's result needs.
    | Itself
    | Computed of Graph

/// <summary>RPReLU(convolution(x) + shortcut(x)): what engines compute, and packed files hold, as one.</summary>
type FusedLayer = { Convolution: SignConvolution; Shortcut: FusedShortcut; Activation: RPReLU }

/// <summary>A network as engines see it: layers that they have kernels for, and the rest.</summary>
type FusedPart =
    | Layer of FusedLayer
    | Plain of Graph

/// <summary>Finds binary layers in a graph.</summary>
[<RequireQualifiedAccess>]
module Fusion =

    let private takeScale graphs =
        match graphs with
        | Op(Scale factor) :: rest -> factor, rest
        | _ -> 1.0, graphs

    let private convolution graph =
        match graph with
        | Chain [ Op(Convolve conv) ] -> Some(conv, None)
        | Chain [ Op(Convolve conv); Op(Normalise(key, _)) ] -> Some(conv, Some key)
        | _ -> None

    /// Whether both can run as one: they differ in nothing but their filters.
    let private isLike (one: ConvolutionSpec) (other: ConvolutionSpec) =
        { other with Key = one.Key; Out = one.Out } = one

    /// All of them, or nothing.
    let private convolutions graph =
        let found =
            match graph with
            | Parallel several -> List.map convolution several
            | single -> [ convolution single ]

        match List.choose id found with
        | several when several.Length = found.Length && several |> List.forall (fst >> isLike (fst several.Head)) ->
            Some several
        | _ -> None

    let private signConvolution branch =
        let beta, rest = takeScale branch

        match rest with
        | Op(Shift(shift, _)) :: Op Sign :: graph :: after ->
            let alpha, left = takeScale after

            match convolutions graph, left with
            // α and the filters' factor are one number where no norm lies between them.
            | Some convolutions, [] when alpha = 1.0 || List.forall (snd >> Option.isNone) convolutions ->
                Some { Beta = beta; Shift = shift; Convolutions = convolutions; Alpha = alpha }
            | _ -> None
        | _ -> None

    let private shortcut graph =
        let isItself part = (part = Chain [])

        match graph with
        | Chain [] -> Itself
        | Parallel parts when List.forall isItself parts -> Itself
        | other -> Computed other

    let rec private fuse graph =
        match graph with
        | Chain [ Residual(Chain branch, path); Op(RPReLU activation) ] ->
            match signConvolution branch with
            | Some convolution ->
                [ Layer { Convolution = convolution; Shortcut = shortcut path; Activation = activation } ]
            | None -> [ Plain graph ]
        | Chain parts -> List.collect fuse parts
        | other -> [ Plain other ]

    /// Neighbours that are no layers stay together.
    let private join part parts =
        match part, parts with
        | Plain(Chain a), Plain(Chain b) :: rest -> Plain(Chain(a @ b)) :: rest
        | Plain a, Plain(Chain b) :: rest -> Plain(Chain(a :: b)) :: rest
        | Plain a, rest -> Plain(Chain [ a ]) :: rest
        | layer, rest -> layer :: rest

    /// <summary>The parts of a graph in the order in which they run; full-precision networks are one plain part.</summary>
    let parts graph : FusedPart list = List.foldBack join (fuse graph) []
