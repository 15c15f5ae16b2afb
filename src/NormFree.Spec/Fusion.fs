namespace NormFree.Spec

/// <summary>A binary convolution α·N(w ∗ sign(β·x + b)), or several in parallel on the same signs.</summary>
type SignConvolution =
    {
        /// β.
        Beta: float
        /// Key of b.
        Shift: string
        /// Each convolution with its norm's key, if it has a norm. Their results are concatenated.
        Convolutions: (ConvolutionSpec * string option) list
        /// α.
        Alpha: float
    }

/// <summary>What a fused layer adds to its convolution's output.</summary>
type FusedShortcut =
    /// x, repeated over the channels to match the convolution's output.
    | RepeatedInput
    | Computed of Graph

/// <summary>RPReLU(convolution(x) + shortcut(x)): one unit for engines and packed files.</summary>
type FusedLayer = { Convolution: SignConvolution; Shortcut: FusedShortcut; Activation: RPReLU }

/// <summary>A part of a network: a binary layer, which engines run fused, or any other graph.</summary>
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

    /// Whether both can run as one convolution: they differ only in their filters.
    let private isCompatible (one: ConvolutionSpec) (other: ConvolutionSpec) =
        { other with Key = one.Key; Out = one.Out } = one

    /// The convolutions, if every part is one and all are compatible.
    let private convolutions graph =
        let found =
            match graph with
            | Parallel several -> List.map convolution several
            | single -> [ convolution single ]

        match List.choose id found with
        | several when several.Length = found.Length && several |> List.forall (fst >> isCompatible (fst several.Head)) ->
            Some several
        | _ -> None

    let private signConvolution branch =
        let beta, rest = takeScale branch

        match rest with
        | Op(Shift(shift, _)) :: Op Sign :: graph :: after ->
            let alpha, left = takeScale after

            match convolutions graph, left with
            // α merges with the filters' factor only if no norm lies between them.
            | Some convolutions, [] when alpha = 1.0 || List.forall (snd >> Option.isNone) convolutions ->
                Some { Beta = beta; Shift = shift; Convolutions = convolutions; Alpha = alpha }
            | _ -> None
        | _ -> None

    let private shortcut graph =
        let isIdentity part = (part = Chain [])

        match graph with
        | Chain [] -> RepeatedInput
        | Parallel parts when List.forall isIdentity parts -> RepeatedInput
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

    /// Merges adjacent plain parts.
    let private join part parts =
        match part, parts with
        | Plain(Chain a), Plain(Chain b) :: rest -> Plain(Chain(a @ b)) :: rest
        | Plain a, Plain(Chain b) :: rest -> Plain(Chain(a :: b)) :: rest
        | Plain a, rest -> Plain(Chain [ a ]) :: rest
        | layer, rest -> layer :: rest

    /// <summary>The parts of a graph in execution order. A full-precision network is one plain part.</summary>
    let parts graph : FusedPart list = List.foldBack join (fuse graph) []
