namespace NormFree.Spec

/// <summary>Functions that modify a network, for pipes: <c>ReActNet.r18 |> Net.withNorm BatchNorm |> Net.withClasses 10</c>.</summary>
[<RequireQualifiedAccess>]
module Net =

    /// <summary>Modifies the binary body. A full-precision network is returned unchanged.</summary>
    let mapBinary change net =
        match net.Body with
        | Binary body -> { net with Body = Binary(change body) }
        | FullPrecision _ -> net

    /// <summary>The binary body; None for a full-precision network.</summary>
    let binaryBody net =
        match net.Body with
        | Binary body -> Some body
        | FullPrecision _ -> None

    let withClasses classes net = { net with Classes = classes }

    let withNorm norm = mapBinary (fun body -> { body with Norm = norm })

    let withBinarise binarise = mapBinary (fun body -> { body with Binarise = binarise })

    let withExpectedVariance rule = mapBinary (fun body -> { body with ExpectedVariance = rule })

    let withBinaryGain gain = mapBinary (fun body -> { body with BinaryGain = gain })

    let withShortcutWeights weights = mapBinary (fun body -> { body with ShortcutWeights = weights })

/// <summary>The paper's names for a network's choices, as the tool and the logs write them.</summary>
[<RequireQualifiedAccess>]
module Names =

    let norm =
        function
        | BatchNorm -> "batch-norm"
        | NoNorm -> "none"
        | BnFree _ -> "bn-free"
        | Scaled _ -> "scaled"

    let binarise =
        function
        | Activations -> "activations"
        | ActivationsAndWeights -> "activations+weights"

    let expectedVariance =
        function
        | ExpectedVariance.Published -> "published"
        | ExpectedVariance.Corrected -> "corrected"
        | ExpectedVariance.Measured _ -> "measured"

    let binaryGain =
        function
        | BinaryGain.One -> "1"
        | BinaryGain.VariancePreserving -> "√(π/2)"

    let shortcutWeights =
        function
        | ShortcutWeights.Binary -> "binary"
        | ShortcutWeights.ZeroMean -> "zero-mean"
        | ShortcutWeights.Real -> "real"
