namespace NormFree.Spec

/// <summary>Changes of a network, made to be piped: <c>ReActNet.r18 |> Net.withNorm BatchNorm |> Net.withClasses 10</c>.</summary>
[<RequireQualifiedAccess>]
module Net =

    /// <summary>Changes the binary layers; a full-precision network has none and stays as it is.</summary>
    let mapBinary change net =
        match net.Body with
        | Binary body -> { net with Body = Binary(change body) }
        | FullPrecision _ -> net

    /// <summary>The binary layers, where the network has such.</summary>
    let binaryBody net =
        match net.Body with
        | Binary body -> Some body
        | FullPrecision _ -> None

    let withClasses classes net = { net with Classes = classes }

    let withNorm norm = mapBinary (fun body -> { body with Norm = norm })

    let withBinarise binarise = mapBinary (fun body -> { body with Binarise = binarise })

    let withExpectedVariance rule = mapBinary (fun body -> { body with ExpectedVariance = rule })

    let withBinaryGain gain = mapBinary (fun body -> { body with BinaryGain = gain })

/// <summary>The words of the paper for the choices of a network, as the tool and the logs write them.</summary>
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
