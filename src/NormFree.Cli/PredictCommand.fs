namespace NormFree.Cli

open System
open Argu
open NormFree.Training
open TorchSharp

/// <summary><c>normfree predict</c>.</summary>
[<RequireQualifiedAccess>]
module PredictCommand =

    let private execution (args: ParseResults<PredictArgs>) =
        Choices.execution Cpu (args.TryGetResult PredictArgs.Engine) None

    let private images (args: ParseResults<PredictArgs>) paths =
        if args.Contains PredictArgs.Precision then
            raise (UsageException "--precision is for --input; images are classified in float32.")

        let count = Choices.count "--top" (args.GetResult(Top, 3))
        use network = Predictor.Load(args.GetResult PredictArgs.Checkpoint, execution args)

        let answers =
            paths
            |> List.map (fun path ->
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

    let private tensors (args: ParseResults<PredictArgs>) precision input output =
        if args.Contains Top then
            raise (UsageException "--top is for images; --output gets all logits.")

        RawTensors.predict (execution args) precision (args.GetResult PredictArgs.Checkpoint) input output

    let private precision (args: ParseResults<PredictArgs>) =
        match args.GetResult(PredictArgs.Precision, "float32") with
        | "float32" -> torch.ScalarType.Float32
        | "float64" -> torch.ScalarType.Float64
        | other -> raise (UsageException $"--precision cannot be '{other}': choose float32 or float64.")

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<PredictArgs>) =
        match args.TryGetResult PredictArgs.Images, args.TryGetResult Input, args.TryGetResult Output with
        | Some paths, None, None -> images args paths
        | None, Some input, Some output -> tensors args (precision args) input output
        | _ -> raise (UsageException "predict takes --checkpoint and either IMAGE files, or --input and --output.")
