namespace NormFree.Packing

open System
open System.Threading
open NormFree.Formats
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Runs
open NormFree.Torch.Native
open TorchSharp

/// <summary>The engine for the network of a file.</summary>
type ComputeEngine =
    /// One of the training engines; for checkpoints.
    | Trained of Execution
    /// The packed engine. A checkpoint is packed first.
    | PackedEngine

/// <summary>A network that is ready for inference, with any engine.</summary>
/// <remarks>Dispose it to free its memory.</remarks>
type LoadedNetwork =
    {
        ImageTask: ImageTask
        /// Logits (N×classes) of N images of 3×height×width normalised values. Throws ArgumentException if the network does not accept that size, and
        /// OperationCanceledException if it is cancelled: the packed engine ends within a task, a training engine before the run.
        Logits: float32[] -> int -> int -> CancellationToken -> float32[]
        Resource: IDisposable
    }

    interface IDisposable with
        member n.Dispose() = n.Resource.Dispose()

/// <summary>Loads networks from checkpoints and packed files.</summary>
[<RequireQualifiedAccess>]
module LoadedNetwork =

    /// The task of a packed file, if its images are as in data sets.
    let private task (path: string) (model: PackedModel) : ImageTask =
        let refuse what = raise (InvalidFileException(path, "metadata 'model'", what, "Run it with NormFree.Inference"))

        if model.Height <> model.Width then
            refuse $"its images are {model.Height}×{model.Width}, not square"

        if model.Mean.Count <> 3 then
            let plural = if model.Mean.Count = 1 then "" else "s"
            refuse $"it takes images of {model.Mean.Count} channel{plural}, not red, green and blue"

        let preparation =
            PackedPreprocessing.toSteps model.Preprocessing
            |> Option.defaultWith (fun () -> refuse "its images are resized or cropped to shapes that are not square")

        { Dataset =
            match model.Notes.TryGetValue "dataset" with
            | true, name -> name
            | _ -> model.Architecture
          Classes = Seq.toArray model.Classes
          Size = model.Height
          Normalisation = { Mean = Seq.toArray model.Mean; Deviation = Seq.toArray model.Deviation }
          Preprocessing = preparation }

    /// <summary>A packed network for images of a task. It owns the given network.</summary>
    let ofPacked (task: ImageTask) (network: PackedNetwork) : LoadedNetwork =
        let logits (images: float32[]) height width cancellation =
            let count = images.Length / (network.Model.Mean.Count * height * width)
            let result: float32[] = Array.zeroCreate (count * network.Classes)
            network.Run(images, height, width, result, cancellation)
            result

        { ImageTask = task; Logits = logits; Resource = network }

    /// Torch's number of threads, if a program may have set it.
    let private options () =
        if TorchNative.MayBeLoaded then
            PackedOptions(Threads = torch.get_num_threads ())
        else
            PackedOptions()

    let private packed task (model: PackedModel) = ofPacked task (PackedNetwork.From(model, options ()))

    let private ofPackedFile path =
        let model = PackedFile.Read path
        packed (task path model) model

    let private ofCheckpoint execution path : LoadedNetwork =
        let checkpoint = Checkpoint.load torch.ScalarType.Float32 path |> Checkpoint.running execution

        let logits (values: float32[]) height width (cancellation: CancellationToken) =
            cancellation.ThrowIfCancellationRequested()
            use _ = torch.NewDisposeScope()
            use _ = torch.no_grad ()
            let images = torch.tensor(values).reshape(-1L, 3L, int64 height, int64 width)
            checkpoint.Network.Forward(images, Evaluate).contiguous().data<float32>().ToArray()

        { ImageTask = checkpoint.ImageTask; Logits = logits; Resource = checkpoint }

    let private packing path =
        use checkpoint = Checkpoint.load torch.ScalarType.Float32 path
        packed checkpoint.ImageTask (Packing.ofCheckpoint checkpoint).Model

    /// <summary>Loads the network of a file, for torch's number of threads. A packed file does not load libtorch. By default a checkpoint uses the
    /// fused engine, and a packed file the packed engine.</summary>
    /// <remarks>Throws InvalidFileException if the file is neither, or is packed but a training engine is requested; TrainingException if a
    /// checkpoint cannot be packed; IOException if the file cannot be read.</remarks>
    let load (computing: ComputeEngine option) (path: string) : LoadedNetwork =
        match computing, PackedFile.IsPacked path with
        | (None | Some PackedEngine), true -> ofPackedFile path
        | Some(Trained _), true ->
            raise (
                InvalidFileException(
                    path,
                    "metadata 'format'",
                    "it is a packed network, which only the packed engine can run",
                    "Omit --engine and --precision, or give the checkpoint that it was made from"
                )
            )
        | None, false -> ofCheckpoint Execution.Default path
        | Some(Trained execution), false -> ofCheckpoint execution path
        | Some PackedEngine, false -> packing path
