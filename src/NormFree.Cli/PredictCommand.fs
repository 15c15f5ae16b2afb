namespace NormFree.Cli

open System
open System.Threading
open Argu
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open TorchSharp

/// <summary><c>normfree predict</c>.</summary>
[<RequireQualifiedAccess>]
module PredictCommand =

    /// The network's file, and who computes it.
    let private network (args: ParseResults<PredictArgs>) =
        let computing = Choices.computing (args.TryGetResult PredictArgs.Engine)

        match args.TryGetResult PredictArgs.Checkpoint, args.TryGetResult PredictArgs.Packed, computing with
        | Some path, None, computing -> path, computing
        | None, Some path, (None | Some PackedEngine) -> path, Some PackedEngine
        | None, Some _, Some(Trained _) ->
            raise (UsageException "--packed is computed by --engine packed: leave --engine away, or give --checkpoint.")
        | _ -> raise (UsageException "predict takes either --checkpoint or --packed.")

    let private images (args: ParseResults<PredictArgs>) paths (cancellation: CancellationToken) =
        if args.Contains PredictArgs.Precision then
            raise (UsageException "--precision is for --input; images are classified in float32.")

        let count = Choices.count "--top" (args.GetResult(Top, 3))
        let path, computing = network args

        use network =
            match computing with
            | Some computing -> Predictor.Load(path, computing)
            | None -> Predictor.Load path

        let answers =
            paths
            |> List.map (fun path ->
                cancellation.ThrowIfCancellationRequested()

                try
                    Ok(path, network.Classify(path, count))
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
                | Error why -> Some why
                | Ok _ -> None)
        with
        | [] -> ()
        | problems -> raise (TrainingException(String.concat "\n" problems))

    let private precision (args: ParseResults<PredictArgs>) =
        match args.GetResult(PredictArgs.Precision, "float32") with
        | "float32"
        | "float64" as known -> known
        | other -> raise (UsageException $"--precision cannot be '{other}': choose float32 or float64.")

    /// An interruption comes before the work or after it: the output is written whole or not at all.
    let private tensors (args: ParseResults<PredictArgs>) input output (cancellation: CancellationToken) =
        if args.Contains Top then
            raise (UsageException "--top is for images; --output gets all logits.")

        let path, computing = network args
        cancellation.ThrowIfCancellationRequested()

        match precision args, computing with
        | "float64", Some PackedEngine ->
            raise (
                UsageException
                    "--precision float64 is not for packed networks, which are float32: give a checkpoint, or leave it away."
            )
        | "float64", Some(Trained execution) -> RawTensors.predictDouble execution path input output
        | "float64", None -> RawTensors.predictDouble Execution.Default path input output
        | _ ->
            use network = LoadedNetwork.load computing path
            RawTensors.predict network input output

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<PredictArgs>) =
        args.TryGetResult PredictArgs.Threads
        |> Option.iter (Choices.threads "--threads" >> torch.set_num_threads)

        let interruptible = Outcome.untilInterrupted "Nothing is kept."

        match args.TryGetResult PredictArgs.Images, args.TryGetResult Input, args.TryGetResult Output with
        | Some paths, None, None -> interruptible (images args paths)
        | None, Some input, Some output -> interruptible (tensors args input output)
        | _ ->
            raise (
                UsageException
                    "predict takes --checkpoint or --packed, and either IMAGE files, or --input and --output."
            )
