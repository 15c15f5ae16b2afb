namespace NormFree.Cli

open System
open Argu
open NormFree.Training
open TorchSharp

/// <summary><c>normfree predict</c>.</summary>
[<RequireQualifiedAccess>]
module PredictCommand =

    let private images (args: ParseResults<PredictArgs>) paths =
        use network = Predictor.Load(args.GetResult PredictArgs.Checkpoint)
        let count = args.GetResult(Top, 3)

        Show.table
            [ "image"; "class"; "probability" ]
            [ for path in paths do
                  for i, struct (name, probability) in Array.indexed (network.Classify(path, count)) do
                      [ (if i = 0 then path else ""); name; Show.percent probability ] ]

    let private precision (args: ParseResults<PredictArgs>) =
        match args.GetResult(Precision, "float32") with
        | "float32" -> torch.ScalarType.Float32
        | "float64" -> torch.ScalarType.Float64
        | other -> raise (UsageException $"--precision cannot be '{other}': choose float32 or float64.")

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<PredictArgs>) =
        match args.TryGetResult Images, args.TryGetResult Input, args.TryGetResult Output with
        | Some paths, None, None -> images args paths
        | None, Some input, Some output -> RawTensors.predict (precision args) (args.GetResult PredictArgs.Checkpoint) input output
        | _ -> raise (UsageException "predict takes either IMAGE files, or --input and --output.")
