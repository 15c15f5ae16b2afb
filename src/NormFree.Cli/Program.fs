module NormFree.Cli.Program

open System
open Argu
open NormFree.Torch.Native

let private parser = ArgumentParser.Create<Command>(programName = "normfree", helpTextMessage = "Train, evaluate and use binary networks without batch normalisation. A star marks what holds if nothing is given.")

let private version () =
    let version = typeof<Command>.Assembly.GetName().Version
    Console.WriteLine $"normfree {version}"

let private run (arguments: string[]) (results: ParseResults<Command>) =
    match results.TryGetSubCommand() with
    | None when results.Contains Command.Version -> version ()
    | None -> Console.WriteLine(parser.PrintUsage())
    | Some(Train args) ->
        TorchNative.Ensure()
        TrainCommand.run (Array.toList arguments |> List.tail) args
    | Some(Eval args) ->
        TorchNative.Ensure()
        EvalCommand.run args
    | Some(Predict args) ->
        TorchNative.Ensure()
        PredictCommand.run args
    | Some(Summary args) ->
        TorchNative.Ensure()
        SummaryCommand.run args
    | Some(Data args) -> DataCommand.run args
    | Some(Report args) ->
        TorchNative.Ensure()
        ReportCommand.run args
    | Some Command.Version -> version ()

/// Argu's own messages end with the whole help; its first lines say what is wrong.
let private complaint (error: ArguParseException) =
    let upToUsage = error.Message.Split("USAGE:")[0]
    upToUsage.Replace("ERROR: ", "").Trim()

let private parse (arguments: string[]) =
    try
        Ok(parser.ParseCommandLine(arguments, raiseOnUsage = true))
    with :? ArguParseException as error ->
        if error.ErrorCode = ErrorCode.HelpText then
            Error(Outcome.Success, error.Message)
        else
            Error(Outcome.BadUsage, complaint error)

[<EntryPoint>]
let main arguments =
    match parse arguments with
    | Ok results -> int (Outcome.guard (fun () -> run arguments results))
    | Error(Outcome.Success, help) ->
        Console.WriteLine help
        int Outcome.Success
    | Error(outcome, message) ->
        Console.Error.WriteLine $"normfree: {message}\nTry 'normfree --help', or 'normfree COMMAND --help'."
        int outcome
