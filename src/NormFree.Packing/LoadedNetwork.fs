namespace NormFree.Packing

open System
open NormFree.Formats
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Runs
open TorchSharp

/// <summary>Who computes the network of a file.</summary>
type ComputeEngine =
    /// Torch, one way or the other; for checkpoints.
    | Trained of Execution
    /// The packed engine; a checkpoint is packed first.
    | PackedEngine

/// <summary>A network ready for use, whoever computes it.</summary>
/// <remarks>Dispose it to free its memory.</remarks>
type LoadedNetwork =
    {
        ImageTask: ImageTask
        /// Logits (N×classes) of N images of 3×height×width normalised values; throws ArgumentException where the network cannot take that size.
        Logits: float32[] -> int -> int -> float32[]
        Resource: IDisposable
    }

    interface IDisposable with
        member n.Dispose() = n.Resource.Dispose()

/// <summary>Networks from checkpoints and packed files.</summary>
[<RequireQualifiedAccess>]
module LoadedNetwork =

    /// What a packed file says of its images, where they are such as data sets have.
    let private task (path: string) (model: PackedModel) : ImageTask =
        let refuse what = raise (InvalidFileException(path, "metadata 'model'", what, "Run it by NormFree.Inference"))

        if model.Height <> model.Width then
            refuse $"its images are {model.Height}×{model.Width}, not square"

        if model.Mean.Count <> 3 then
            let plural = if model.Mean.Count = 1 then "" else "s"
            refuse $"it takes images of {model.Mean.Count} channel{plural}, not of red, green and blue"

        let preparation =
            PackedPreparation.toSteps model.Preprocessing
            |> Option.defaultWith (fun () -> refuse "its images are resized or cropped to shapes that are not square")

        { Dataset =
            match model.Notes.TryGetValue "dataset" with
            | true, name -> name
            | _ -> model.Architecture
          Classes = Seq.toArray model.Classes
          Size = model.Height
          Normalisation = { Mean = Seq.toArray model.Mean; Deviation = Seq.toArray model.Deviation }
          Preprocessing = preparation }

    /// <summary>A packed network, for images of a task; disposing of it is disposing of both.</summary>
    let ofPacked (task: ImageTask) (network: PackedNetwork) : LoadedNetwork =
        let logits (images: float32[]) height width =
            let count = images.Length / (network.Model.Mean.Count * height * width)
            let result: float32[] = Array.zeroCreate (count * network.Classes)
            network.Run(images, height, width, result)
            result

        { ImageTask = task; Logits = logits; Resource = network }

    let private packed task (model: PackedModel) =
        ofPacked task (PackedNetwork.From(model, PackedOptions(Threads = torch.get_num_threads ())))

    let private ofPackedFile path =
        let model = PackedFile.Read path
        packed (task path model) model

    let private ofCheckpoint execution path : LoadedNetwork =
        let checkpoint = Checkpoint.load torch.ScalarType.Float32 path |> Checkpoint.running execution

        let logits (values: float32[]) height width =
            use _ = torch.NewDisposeScope()
            use _ = torch.no_grad ()
            let images = torch.tensor(values).reshape(-1L, 3L, int64 height, int64 width)
            checkpoint.Network.Forward(images, Evaluate).contiguous().data<float32>().ToArray()

        { ImageTask = checkpoint.ImageTask; Logits = logits; Resource = checkpoint }

    let private packing path =
        use checkpoint = Checkpoint.load torch.ScalarType.Float32 path
        packed checkpoint.ImageTask (Packing.ofCheckpoint checkpoint).Model

    /// <summary>The network of a file, on torch's number of threads; if nothing is said, a checkpoint is computed as it is trained by default, and a
    /// packed file by the packed engine.</summary>
    /// <remarks>Throws InvalidFileException where the file is neither, or a packed one that torch should compute; TrainingException where a checkpoint
    /// cannot be packed; IOException where the file cannot be read.</remarks>
    let load (computing: ComputeEngine option) (path: string) : LoadedNetwork =
        NormFree.Torch.Native.TorchNative.Ensure()

        match computing, PackedFile.IsPacked path with
        | (None | Some PackedEngine), true -> ofPackedFile path
        | Some(Trained _), true ->
            raise (
                InvalidFileException(
                    path,
                    "metadata 'format'",
                    "it is a packed network, which the packed engine alone can run",
                    "Leave --engine and --precision away, or give the checkpoint that it was made of"
                )
            )
        | None, false -> ofCheckpoint Execution.Default path
        | Some(Trained execution), false -> ofCheckpoint execution path
        | Some PackedEngine, false -> packing path
