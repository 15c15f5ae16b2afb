namespace NormFree.Cli

open System.Threading
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training

/// <summary><c>normfree predict</c>.</summary>
[<RequireQualifiedAccess>]
module internal PredictCommand =

    /// The network's file, and the engine that computes it.
    let private network (args: Arguments) =
        let engine = args.TryGet Options.Execution.computeEngine

        let checkpoint = args.TryGet Options.Files.checkpoint |> Option.map (ZooFile.forEngine engine)
        let packed = args.TryGet Options.Files.packed |> Option.map ZooFile.packed
        Option.toList checkpoint @ Option.toList packed |> List.iter NetworkFile.require

        match checkpoint, packed, engine with
        | Some path, None, engine -> path, engine
        | None, Some path, (None | Some PackedEngine) -> path, Some PackedEngine
        | None, Some _, Some(Trained _) ->
            raise (UsageException "--packed needs --engine packed: omit --engine, or give --checkpoint.")
        | _ -> raise (UsageException "predict takes either --checkpoint or --packed.")

    let private images (args: Arguments) paths (cancellation: CancellationToken) =
        if args.Has Options.Execution.isDouble then
            raise (UsageException "--precision is for --input; images are classified in float32.")

        let count = args.Get Options.Files.top
        let path, engine = network args

        use network =
            match engine with
            | Some engine -> Predictor.Load(path, engine)
            | None -> Predictor.Load path

        let answers =
            paths
            |> List.map (fun path ->
                cancellation.ThrowIfCancellationRequested()

                try
                    Ok(path, network.Classify(path, count, cancellation))
                with :? TrainingException as error ->
                    Error error.Message)

        let rows =
            [ for path, classes in answers |> List.choose Result.toOption do
                  for i, struct (name, probability) in Array.indexed classes do
                      [ (if i = 0 then path else ""); name; Show.percent probability ] ]

        if not rows.IsEmpty then
            Show.table [ "image"; "class"; "probability" ] rows

        match
            answers
            |> List.choose (function
                | Error problem -> Some problem
                | Ok _ -> None)
        with
        | [] -> ()
        | problems -> raise (TrainingException(String.concat "\n" problems))

    /// The output is written whole or not at all.
    let private tensors (args: Arguments) input output (cancellation: CancellationToken) =
        if args.Has Options.Files.top then
            raise (UsageException "--top is for images; --output gets all logits.")

        let path, engine = network args
        cancellation.ThrowIfCancellationRequested()

        match args.Get Options.Execution.isDouble, engine with
        | true, Some PackedEngine ->
            raise (
                UsageException
                    "--precision float64 is not for packed networks, which use float32: give a checkpoint, or omit it."
            )
        | true, Some(Trained execution) -> RawTensors.predictDouble execution path input output
        | true, None -> RawTensors.predictDouble Execution.Default path input output
        | false, _ ->
            use network = LoadedNetwork.load engine path
            RawTensors.predict network cancellation input output

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        NetworkOptions.useThreads (args.TryGet Options.Execution.threads)

        match args.Operands, args.TryGet Options.Files.input, args.TryGet Options.Files.output with
        | (_ :: _ as paths), None, None -> images args paths cancellation
        | [], Some input, Some output -> tensors args input output cancellation
        | _ ->
            raise (
                UsageException
                    "predict takes --checkpoint or --packed, and either IMAGE files, or --input and --output."
            )
