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

/// <summary>Imports networks from files of other programs.</summary>
/// <example><code>
/// use file = ForeignFile.OpenPyTorch "model_best.pth.tar"
/// let net = ReActNet.a |> Net.withNorm BatchNorm |> Net.withBinarise ActivationsAndWeights
///
/// match Import.checkpoint Strict net (Import.task net 224) file with
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

    /// <summary>Creates a network with the file's tensors. Returns the network and a report, or only the report if the tensors do not fit.</summary>
    /// <remarks>
    /// The spec must be valid. Keys are the published ones, with or without the prefix <c>module.</c>, or those of the original ReActNet repository.
    /// float16 and bfloat16 become float32. Throws InvalidFileException if the file is damaged.
    /// </remarks>
    let network
        (strictness: Strictness)
        (spec: NetSpec)
        (file: ForeignFile)
        : Result<Network * ImportReport, ImportReport> =
        let network = Network.create (precision file) Rule.Corrected seed spec

        try
            let plan = Matching.plan network file

            if plan.Report.IsComplete || (strictness = Partial && not plan.Pairs.IsEmpty) then
                load plan.Pairs network
                Ok(network, plan.Report)
            else
                (network :> IDisposable).Dispose()
                Error plan.Report
        with _ ->
            (network :> IDisposable).Dispose()
            reraise ()

    /// <summary>The default task of a network: classes named by their numbers, ImageNet's normalisation above 64×64 pixels, otherwise
    /// CIFAR-10's.</summary>
    let task (spec: NetSpec) (size: int) : ImageTask =
        { Dataset = "imported"
          Classes = Array.init spec.Classes string
          Size = size
          Normalisation = if size <= 64 then Normalisation.cifar10 else Normalisation.imageNet
          Preprocessing = [] }

    /// <summary>Imports a network as a checkpoint for a task, for <c>eval</c>, <c>predict</c> or as a teacher.</summary>
    let checkpoint strictness spec (task: ImageTask) file : Result<Checkpoint * ImportReport, ImportReport> =
        let state (network: Network) =
            { TrainingState.Of(Recipe.published, "imported") with Execution = Some network.Execution }

        network strictness spec file
        |> Result.map (fun (network, report) -> { Network = network; ImageTask = task; State = state network }, report)
