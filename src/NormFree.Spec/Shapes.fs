namespace NormFree.Spec

/// <summary>A signal's shape without the batch dimension: channels, height, width. A vector has height and width 1.</summary>
[<Struct>]
type Shape =
    { C: int
      H: int
      W: int }

    override s.ToString() = $"{s.C}×{s.H}×{s.W}"

/// <summary>Why a network cannot process images of a size.</summary>
exception ShapeMismatch of message: string

/// <summary>Shape inference.</summary>
[<RequireQualifiedAccess>]
module Shapes =

    let private slide kernel stride padding side = (side + 2 * padding - kernel) / stride + 1

    let private slid what kernel stride padding (shape: Shape) channels =
        let sides = slide kernel stride padding shape.H, slide kernel stride padding shape.W

        if shape.H + 2 * padding < kernel || shape.W + 2 * padding < kernel then
            raise (
                ShapeMismatch
                    $"{what} needs a map of at least {kernel - 2 * padding}×{kernel - 2 * padding} pixels, but its input is {shape}"
            )

        { C = channels; H = fst sides; W = snd sides }

    let private expectChannels what expected (shape: Shape) =
        if shape.C <> expected then
            raise (ShapeMismatch $"{what} takes {expected} channels, but its input is {shape}")

    let private flattened side (shape: Shape) =
        if shape.H <> side || shape.W <> side then
            raise (
                ShapeMismatch
                    $"the flatten layer needs a map of {side}×{side}, but its input is {shape}: use the image size that the network is made for"
            )

        { C = shape.C * side * side; H = 1; W = 1 }

    let private step op (shape: Shape) =
        match op with
        | Op.Convolve conv ->
            expectChannels conv.Key conv.In shape
            slid conv.Key (conv.Dilation * (conv.Kernel - 1) + 1) conv.Stride conv.Padding shape conv.Out
        | Op.RPReLU prelu ->
            expectChannels prelu.Slopes.Key prelu.Channels shape
            shape
        | Op.PReLU({ Key = key }, channels)
        | Op.Shift(key, channels)
        | Op.Normalise(key, channels) ->
            expectChannels key channels shape
            shape
        | Op.Scale _
        | Op.Sign _
        | Op.ReLU
        | Op.HardTanh
        | Op.CustomActivation _
        | Op.CenterChannels -> shape
        | Op.PadChannels channels -> { shape with C = shape.C + channels }
        | Op.MaxPool(kernel, stride, padding) -> slid "the max-pool" kernel stride padding shape shape.C
        | Op.AveragePool kernel -> slid "the average pool" kernel kernel 0 shape shape.C
        | Op.GlobalAveragePool -> { shape with H = 1; W = 1 }
        | Op.Flatten side -> flattened side shape
        | Op.Linear(key, inputs, outputs) ->
            if shape.H <> 1 || shape.W <> 1 then
                raise (
                    ShapeMismatch
                        $"{key} takes a vector, but its input is {shape}: pool the map or flatten it before the classifier"
                )

            expectChannels key inputs shape
            { C = outputs; H = 1; W = 1 }

    let private agree branch shortcut =
        if branch <> shortcut then
            raise (
                ShapeMismatch
                    $"a residual branch produces {branch}, but its shortcut produces {shortcut}: use an image size that every stage can halve, such as a multiple of 32"
            )

    /// Every operation with its input and output shapes, and the graph's output shape.
    let rec private walk graph shape : (Op * Shape * Shape) list * Shape =
        match graph with
        | Op op ->
            let result = step op shape
            [ op, shape, result ], result
        | Chain parts ->
            (([], shape), parts)
            ||> List.fold (fun (before, shape) part ->
                let more, result = walk part shape
                before @ more, result)
        | Residual(branch, shortcut) ->
            let first, fromBranch = walk branch shape
            let second, fromShortcut = walk (Graph.ofShortcut shortcut) shape
            agree fromBranch fromShortcut
            first @ second, fromBranch
        | Parallel parts ->
            let walked = parts |> List.map (fun part -> walk part shape)
            let results = walked |> List.map snd
            results |> List.pairwise |> List.iter (fun (a, b) -> agree a { b with C = a.C })
            List.collect fst walked, { results.Head with C = results |> List.sumBy _.C }
        | Layer layer -> walk (Graph.ofLayer layer) shape

    /// <summary>Every operation with its input and output shapes, and the graph's output shape, for an input of this shape.</summary>
    /// <returns>An error if the shapes do not match.</returns>
    let infer graph input =
        try
            Ok(walk graph input)
        with ShapeMismatch message ->
            Error message
