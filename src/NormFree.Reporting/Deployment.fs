namespace NormFree.Reporting

open System.IO
open NormFree.Formats
open NormFree.Inference.Files
open NormFree.Spec
open NormFree.Training
open TorchSharp

/// <summary>Whether a report measures speed, which takes seconds and never comes out the same twice.</summary>
type SpeedChoice =
    | MeasureSpeed
    | LeaveSpeedOut

/// <summary>Single images through the packed engine, and through libtorch in float32, on the machine that wrote the report.</summary>
type Speed = { Packed: InferenceResult; Float: InferenceResult }

/// <summary>What a trained network costs where it is used.</summary>
type Deployment =
    {
        Summary: Summary
        /// Pixels along a side of its images.
        Pixels: int
        /// Of the packed file.
        PackedBytes: int64
        Speed: Speed option
    }

/// <summary>Finds out what a run's network costs.</summary>
[<RequireQualifiedAccess>]
module Deployment =

    let private measured (net: NetSpec) pixels engine start =
        { InferenceJob.Default net with
            Engine = engine
            Image = pixels
            WarmUp = 2
            Runs = 5
            Seconds = 0.3 }
        |> InferenceBench.measure start

    /// Torch's number of threads is left as it was.
    let private speed (net: NetSpec) pixels : Speed =
        let threads = torch.get_num_threads ()

        try
            { Packed =
                measured
                    net
                    pixels
                    InferenceEngine.Packed
                    (InferenceEngines.packed (InferenceJob.Default net).Threads)
              Float = measured net pixels InferenceEngine.Torch InferenceEngines.torch }
        finally
            torch.set_num_threads threads

    let private packedBytes checkpoint =
        use stream = new MemoryStream()
        PackedFile.Write(stream, (Packing.ofCheckpoint checkpoint).Model)
        stream.Length

    let private ofCheckpoint speed (checkpoint: Checkpoint) : Result<Deployment, string> =
        let net, pixels = checkpoint.Network.Spec, checkpoint.Task.Size

        Summary.create pixels pixels net
        |> Result.mapError (List.map string >> String.concat "; ")
        |> Result.map (fun summary ->
            { Summary = summary
              Pixels = pixels
              PackedBytes = packedBytes checkpoint
              Speed = speed net pixels })

    /// <summary>Of the best network of the run's second stage; or why there is none.</summary>
    /// <remarks>The function measures a network for images of so many pixels, and is asked once for each network where it remembers.</remarks>
    let internal ofFolder (speed: NetSpec -> int -> Speed option) (folder: RunFolder) : Result<Deployment, string> =
        let path = folder.Best 2

        if not (File.Exists path) then
            Error "it has no stage 2 yet, and only a network of binary weights is packed"
        else
            try
                NormFree.Torch.Native.TorchNative.Ensure()
                use checkpoint = Checkpoint.load torch.ScalarType.Float32 path
                ofCheckpoint speed checkpoint
            with
            | :? InvalidFileException
            | :? TrainingException
            | :? IOException
            | :? System.UnauthorizedAccessException as error -> Error(error.Message.TrimEnd '.')

    /// <summary>Measures each network once, however many runs have it.</summary>
    let internal measuring choice : NetSpec -> int -> Speed option =
        let known = System.Collections.Generic.Dictionary<NetSpec * int, Speed>()

        fun net pixels ->
            match choice, known.TryGetValue((net, pixels)) with
            | LeaveSpeedOut, _ -> None
            | MeasureSpeed, (true, speed) -> Some speed
            | MeasureSpeed, _ ->
                known[(net, pixels)] <- speed net pixels
                Some known[(net, pixels)]
