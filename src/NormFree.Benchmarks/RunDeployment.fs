namespace NormFree.Benchmarks

open System.Collections.Generic
open System.IO
open NormFree.Formats
open NormFree.Inference.Files
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Reporting
open NormFree.Spec
open NormFree.Training
open TorchSharp

/// <summary>Whether a report measures speed, which takes seconds and is not reproducible.</summary>
type SpeedChoice =
    | MeasureSpeed
    | SkipSpeed

/// <summary>Determines the deployment cost of a run's network.</summary>
[<RequireQualifiedAccess>]
module RunDeployment =

    let private measured (net: NetSpec) pixels engine start =
        { InferenceJob.Default net with
            Engine = engine
            Image = pixels
            WarmUp = 2
            Runs = 5
            Seconds = 0.3 }
        |> InferenceBench.measure start

    let private machine (environment: BenchEnvironment) =
        let load =
            environment.LoadAverage |> Option.map (fun load -> $", load {load}") |> Option.defaultValue ""

        $"{environment.Processor}, {environment.Instructions}, {environment.Processors} processors{load}"

    /// Restores torch's number of threads.
    let private speed (net: NetSpec) pixels : Speed =
        let threads = torch.get_num_threads ()

        try
            let packed =
                measured net pixels InferenceEngine.Packed (InferenceEngines.packed (InferenceJob.Default net).Threads)

            let float = measured net pixels InferenceEngine.Torch InferenceEngines.torch

            { PackedMs = packed.LatencyMs.Median
              FloatMs = float.LatencyMs.Median
              Threads = packed.Threads
              PackedRuns = packed.Runs
              FloatRuns = float.Runs
              Machine = machine packed.Environment }
        finally
            torch.set_num_threads threads

    let private packedBytes checkpoint =
        use stream = new MemoryStream()
        PackedFile.Write(stream, (Packing.ofCheckpoint checkpoint).Model)
        stream.Length

    let private ofCheckpoint speed (checkpoint: Checkpoint) : Result<Deployment, string> =
        let net, pixels = checkpoint.Network.Spec, checkpoint.ImageTask.Size

        Summary.create pixels pixels net
        |> Result.mapError (List.map string >> String.concat "; ")
        |> Result.map (fun summary ->
            { Summary = summary
              Pixels = pixels
              PackedBytes = packedBytes checkpoint
              Speed = speed net pixels })

    /// The cost of the best stage-2 network, or the reason why it is unknown.
    let private ofFolder (speed: NetSpec -> int -> Speed option) (folder: RunFolder) : Result<Deployment, string> =
        let path = folder.Best 2

        if not (File.Exists path) then
            Error "it has no stage 2 yet, and only networks with binary weights can be packed"
        else
            try
                use checkpoint = Checkpoint.load torch.ScalarType.Float32 path
                ofCheckpoint speed checkpoint
            with
            | :? InvalidFileException
            | :? TrainingException
            | :? IOException
            | :? System.UnauthorizedAccessException as error -> Error(error.Message.TrimEnd '.')

    /// <summary>Returns a function from a run to its network's cost, or the reason why it is unknown. The function measures each network
    /// once.</summary>
    let measuring choice : RunFolder -> Result<Deployment, string> =
        let known = Dictionary<NetSpec * int, Speed>()

        let once net pixels =
            match choice, known.TryGetValue((net, pixels)) with
            | SkipSpeed, _ -> None
            | MeasureSpeed, (true, speed) -> Some speed
            | MeasureSpeed, _ ->
                known[(net, pixels)] <- speed net pixels
                Some known[(net, pixels)]

        ofFolder once
