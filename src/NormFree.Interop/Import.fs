namespace NormFree.Interop

open System
open System.Text.Json.Serialization
open NormFree.Data
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// <summary>How an import treats tensors that are missing, unexpected or of another shape.</summary>
type Strictness =
    /// Reject the file.
    | Strict
    /// Load the tensors that fit. The others keep their initial values. At least one tensor must fit.
    | Partial

/// <summary>What an import accepts.</summary>
type ImportRules =
    {
        Strictness: Strictness
        /// Whether weights may be NaN or infinite.
        AllowNonFinite: bool
    }

    /// <summary>Every tensor must fit, and every weight must be finite.</summary>
    static member Default = { Strictness = Strict; AllowNonFinite = false }

/// <summary>Imports networks from files of other programs.</summary>
/// <example><code>
/// use file = ForeignFile.OpenPyTorch "model_best.pth.tar"
/// let net = ReActNet.a |> Net.withNorm BatchNorm |> Net.withBinarise ActivationsAndWeights
///
/// match Import.checkpoint ImportRules.Default net (Import.task net 224) file with
/// | Ok(checkpoint, report) -> Checkpoint.save "reactnet-a.safetensors" None checkpoint
/// | Error report -> for line in report.Problems do eprintfn $"{line}"
/// </code></example>
[<RequireQualifiedAccess>]
module Import =

    /// The seed of the initial values that a partial import keeps.
    let private seed = 1L

    /// float64 if the file has float64 tensors, because rounding would lose digits; otherwise float32, which holds the narrower types exactly.
    let private precision (file: ForeignFile) =
        if file.Tensors |> List.exists (fun tensor -> tensor.DType = DType.F64) then
            torch.ScalarType.Float64
        else
            torch.ScalarType.Float32

    let private load (pairs: (string * ForeignTensor) list) (network: Network) =
        let values = Map pairs
        use _ = torch.no_grad ()

        for key, tensor in network.Tensors do
            match values.TryFind key with
            | None -> ()
            | Some value ->
                use scope = torch.NewDisposeScope()
                let read = TensorBytes.toTensor value.DType value.Shape (value.Read())
                tensor.copy_ (read.reshape tensor.shape) |> ignore

    /// <summary>The names of a network's tensors with values that are NaN or infinite, also as float32, in which networks run.</summary>
    let nonFinite (network: Network) =
        use _ = torch.NewDisposeScope()

        [ for name, tensor in network.Tensors do
              if tensor.is_floating_point () && not ((tensor.``to``(torch.float32).isfinite().all()).item<bool>()) then
                  name ]

    /// <summary>Creates a network with the file's tensors. Returns the network and a report, or only the report if the tensors do not fit.</summary>
    /// <remarks>
    /// The spec must be valid. Keys are the published ones, with or without one common prefix, or those of the original ReActNet repository.
    /// float16 and bfloat16 become float32. Throws InvalidFileException if the file is damaged.
    /// </remarks>
    let network
        (rules: ImportRules)
        (spec: NetSpec)
        (file: ForeignFile)
        : Result<Network * ImportReport, ImportReport> =
        let network = Network.create (precision file) Rule.Corrected seed spec

        try
            let plan = Matching.plan network file

            let accepts = plan.Report.IsComplete || (rules.Strictness = Partial && not plan.Pairs.IsEmpty)

            if accepts then
                load plan.Pairs network

            let report = { plan.Report with NonFinite = if accepts then nonFinite network else [] }

            if accepts && (rules.AllowNonFinite || report.NonFinite.IsEmpty) then
                Ok(network, report)
            else
                (network :> IDisposable).Dispose()
                Error report
        with _ ->
            (network :> IDisposable).Dispose()
            reraise ()

    /// The published preprocessing resizes the shorter side to this, and crops the centre to 224 pixels.
    let private publishedResize, private publishedSize = 256.0, 224.0

    /// <summary>The published preprocessing of an image side above 64 pixels: resize the shorter side to 8/7 of it, and crop the centre. Smaller
    /// data sets need none.</summary>
    let preprocessing (size: int) : Augment list =
        if size <= Image.SmallSide then
            []
        else
            [ ResizeShort(int (Math.Round(float size * publishedResize / publishedSize))); CentreCrop size ]

    /// <summary>The default task of a network: classes named by their numbers, ImageNet's normalisation and published preprocessing above 64×64
    /// pixels, otherwise CIFAR-10's.</summary>
    let task (spec: NetSpec) (size: int) : ImageTask =
        { Dataset = ImportedNetwork.dataset
          Classes = Array.init spec.Classes string
          Size = size
          Normalisation =
            if size <= Image.SmallSide then
                Normalisation.cifar10
            else
                Normalisation.imageNet
          Preprocessing = preprocessing size }

    /// <summary>Imports a network as a checkpoint for a task, for <c>eval</c>, <c>predict</c> or as a teacher.</summary>
    let checkpoint rules spec (task: ImageTask) file : Result<Checkpoint * ImportReport, ImportReport> =
        let state (network: Network) =
            { TrainingState.Of(Recipe.published, "imported") with Execution = Some network.Execution }

        network rules spec file
        |> Result.map (fun (network, report) -> { Network = network; ImageTask = task; State = state network }, report)
