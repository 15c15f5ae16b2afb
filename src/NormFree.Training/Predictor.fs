namespace NormFree.Training

open System
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

    let orRefuse result =
        match result with
        | Ok value -> value
        | Error(error: DataError) -> raise (TrainingException(string error))

    /// The test images' preparation. Sets of one image size need none, but a picture from elsewhere has any size.
    let steps =
        match task.Preprocessing with
        | [] -> [ ResizeShort size; CentreCrop size ]
        | preparation -> preparation

    let probabilities (logits: float32[]) =
        let top = Array.max logits
        let powers = logits |> Array.map (fun l -> exp (float (l - top)))
        let sum = Array.sum powers
        powers |> Array.map (fun p -> p / sum)

    /// <summary>Reads a checkpoint or a packed file. Throws InvalidFileException where the file is neither, IOException where it cannot be read.</summary>
    static member Load(path: string) = new Predictor(LoadedNetwork.load None path)

    /// <summary>The same, for a network that is computed that way. Throws InvalidFileException or TrainingException where there is no such way.</summary>
    static member Load(path: string, computing: ComputeEngine) = new Predictor(LoadedNetwork.load (Some computing) path)

    /// <summary>The names of the classes, in the order of the logits.</summary>
    member _.Classes = task.Classes

    /// <summary>Pixels along a side of the images that the network takes.</summary>
    member _.Size = size

    /// <summary>Logits (N×classes, row-major) of N images given as N×3×Size×Size normalised values, row-major.</summary>
    member _.Logits(images: float32[]) : float32[] =
        if images.Length = 0 || images.Length % perImage <> 0 then
            invalidArg (nameof images) $"{images.Length} values are no whole number of 3×{size}×{size} images."

        network.Logits images size size

    /// <summary>The likeliest classes of an image file (JPEG or PNG) with their probabilities, likeliest first.</summary>
    /// <remarks>
    /// The image is prepared as the test images of the training were; where those all had the network's size, the middle of an image of
    /// another size is taken, resized. Any number of threads may call it at once, and each gets the same bits as if it were alone. Throws
    /// TrainingException where the file cannot be read, decoded or resized.
    /// </remarks>
    member _.Classify(path: string, count: int) : struct (string * float)[] =
        let options = { Evaluation.loading RunOptions.Default task 1 with Steps = steps }

        let prepare image =
            Loader.prepare options image
            |> Result.mapError (fun why -> DataError.create path why "Give an image of other proportions")

        let values = Decode.file path |> Result.bind prepare |> orRefuse

        Array.zip task.Classes (probabilities (network.Logits values size size))
        |> Array.sortByDescending snd
        |> Array.truncate count
        |> Array.map (fun (name, probability) -> struct (name, probability))

    interface IDisposable with
        member _.Dispose() = (network :> IDisposable).Dispose()
