namespace NormFree.Training

open System
open System.Threading
open NormFree.Data
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs

/// <summary>A trained network ready for use: images in, classes out.</summary>
/// <example><code>
/// using var network = Predictor.Load("runs/demo/stage2.best.safetensors");
/// foreach (var (name, probability) in network.Classify("cat.jpg", 3)) Console.WriteLine($"{name}: {probability:P1}");
/// </code></example>
[<Sealed>]
type Predictor private (network: LoadedNetwork) =

    let task = network.ImageTask
    let size = task.Size
    let perImage = 3 * size * size

    let orThrow result =
        match result with
        | Ok value -> value
        | Error(error: DataError) -> raise (TrainingException(string error))

    let steps = task.PreprocessingOfAnySize

    let probabilities (logits: float32[]) =
        let top = Array.max logits
        let exponentials = logits |> Array.map (fun l -> exp (float (l - top)))
        let sum = Array.sum exponentials
        exponentials |> Array.map (fun p -> p / sum)

    /// <summary>Loads a checkpoint or a packed file.</summary>
    /// <remarks>Throws InvalidFileException if the file is neither, IOException if it cannot be read.</remarks>
    static member Load(path: string) = new Predictor(LoadedNetwork.load None path)

    /// <summary>Loads a checkpoint or a packed file for the given engine.</summary>
    /// <remarks>Throws as the other overload does, and InvalidFileException or TrainingException if the engine cannot compute the network.</remarks>
    static member Load(path: string, engine: ComputeEngine) = new Predictor(LoadedNetwork.load (Some engine) path)

    /// <summary>The class names in the order of the logits.</summary>
    member _.Classes = task.Classes

    /// <summary>The side of the network's input images in pixels.</summary>
    member _.Size = size

    /// <summary>Logits (N×classes, row-major) of normalised images (N×3×Size×Size, row-major).</summary>
    /// <remarks>Throws ArgumentException if the values are not a whole number of images, and OperationCanceledException if it is cancelled.</remarks>
    member _.Logits(images: float32[], cancellation: CancellationToken) : float32[] =
        if images.Length = 0 || images.Length % perImage <> 0 then
            invalidArg (nameof images) $"{images.Length} values are not a whole number of 3×{size}×{size} images."

        network.Logits images size size cancellation

    /// <summary>The same, without cancellation.</summary>
    member p.Logits(images: float32[]) : float32[] = p.Logits(images, CancellationToken.None)

    /// <summary>The <c>count</c> most probable classes of an image file (JPEG or PNG) with their probabilities, most probable first.</summary>
    /// <remarks>
    /// The image is preprocessed as the test images were. If they had no preprocessing, it is resized and cropped to the centre. Thread-safe, with
    /// the same bits from any number of threads. Throws TrainingException if the file cannot be read, decoded or resized, or if a logit is NaN or
    /// infinite, and OperationCanceledException if it is cancelled.
    /// </remarks>
    member _.Classify(path: string, count: int, cancellation: CancellationToken) : struct (string * float)[] =
        let options = { Evaluation.loading RunOptions.Default task 1 with Steps = steps }

        let preprocess image =
            Loader.prepare options image
            |> Result.mapError (fun why -> DataError.create path why "Give an image of other proportions")

        let values = Decode.file path |> Result.bind preprocess |> orThrow

        let logits = network.Logits values size size cancellation
        FiniteLogits.require path task.Classes logits

        Array.zip task.Classes (probabilities logits)
        |> Array.sortByDescending snd
        |> Array.truncate count
        |> Array.map (fun (name, probability) -> struct (name, probability))

    /// <summary>The same, without cancellation.</summary>
    member p.Classify(path: string, count: int) : struct (string * float)[] =
        p.Classify(path, count, CancellationToken.None)

    interface IDisposable with
        member _.Dispose() = (network :> IDisposable).Dispose()
