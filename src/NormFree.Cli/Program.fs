module NormFree.Cli.Program

open System
open System.Text.RegularExpressions
open Argu
open NormFree.Distributed
open NormFree.Formats
open NormFree.Torch.Native

/// Created on first use, after the limit of open files is checked.
let private parser =
    lazy ArgumentParser.Create<Command>(programName = "normfree", usageStringCharacterWidth = 88)

/// The open files that every command needs, most of them assemblies.
let private openFiles = 256

let private version () =
    let version = typeof<Command>.Assembly.GetName().Version
    Console.WriteLine $"normfree {version}"

/// Without the option that was just given, and with names that are longer than their column on the line of their text.
let private compact (listed: string) =
    let shorter = Regex.Replace(listed, @"\n +--help +display this list of options\.", "")
    Regex.Replace(shorter, @"(?m)^( +--\S+ <\S+>)\n +", "$1 ")

let private help (arguments: ParseResults<'T>) (about: string) =
    Console.WriteLine(about)
    let listed = arguments.Parser.PrintUsage(hideSyntax = true).Trim() |> compact
    let heading = "OPTIONS:"
    // Without the heading, where it is the only one, the longest list fits a screen.
    Console.WriteLine(
        if listed.StartsWith heading then
            listed.Substring(heading.Length).Trim('\n')
        else
            listed
    )

let private starred = " A star marks defaults."

/// Runs a command, or explains it where --help is among its arguments.
let private orHelp (about: string) (command: ParseResults<'T> -> unit) (arguments: ParseResults<'T>) =
    if arguments.IsUsageRequested then
        help arguments (about + starred)
    else
        TorchNative.Ensure()
        command arguments

/// 'data' has commands of its own.
let private data (arguments: ParseResults<DataArgs>) =
    match arguments.TryGetSubCommand() with
    | Some(Get get) -> orHelp "normfree data get: downloads a data set." (Get >> DataCommand.run) get
    | Some(Check check) ->
        orHelp "normfree data check: reads every image of a data set." (Check >> DataCommand.run) check
    | None -> help arguments "normfree data: downloads and checks data sets."

/// So has 'bench'.
let private bench (arguments: ParseResults<BenchArgs>) =
    match arguments.TryGetSubCommand() with
    | Some(BenchArgs.Train train) ->
        orHelp "normfree bench train: speed and memory of training steps, on noise." BenchCommand.train train
    | Some(BenchArgs.Infer infer) ->
        orHelp "normfree bench infer: latency and memory of inference, on noise." BenchInferCommand.run infer
    | Some(BenchArgs.Kernels kernels) ->
        orHelp "normfree bench kernels: binary convolutions against the roofline." BenchKernelsCommand.run kernels
    | None -> help arguments "normfree bench: measures speed and memory."

let private run (typed: string list) (results: ParseResults<Command>) =
    match results.TryGetSubCommand() with
    | Some(Command.Train args) ->
        args
        |> orHelp "normfree train: trains a network, one stage or both." (TrainCommand.run (List.tail typed))
    | Some(Eval args) -> args |> orHelp "normfree eval: accuracy of a checkpoint on a data set." EvalCommand.run
    | Some(Predict args) ->
        args |> orHelp "normfree predict: classes of images, or logits of tensors." PredictCommand.run
    | Some(Summary args) -> args |> orHelp "normfree summary: what a network is made of and costs." SummaryCommand.run
    | Some(Data args) -> data args
    | Some(Bench args) -> bench args
    | Some(Report args) -> args |> orHelp "normfree report: a page of one or several runs." ReportCommand.run
    | Some(Import args) -> args |> orHelp "normfree import: a checkpoint from a file of others." ImportCommand.run
    | Some(Export args) -> args |> orHelp "normfree export: a file for others from a checkpoint." ExportCommand.run
    | Some(Verify args) ->
        args |> orHelp "normfree verify: compares a packed file with its checkpoint." VerifyCommand.run
    | Some Command.Version -> version ()
    | None when results.Contains Command.Version -> version ()
    | None -> help results "normfree: binary neural networks without batch normalisation."

/// No argument may be empty: most often it is a variable of a shell that is not set.
let private requireWords (arguments: string[]) =
    match Array.tryFindIndex String.IsNullOrWhiteSpace arguments with
    | Some 0 -> raise (UsageException "the first argument is empty.")
    | Some place -> raise (UsageException $"the argument after {arguments[place - 1]} is empty.")
    | None -> ()

[<EntryPoint>]
let main arguments =
    // mpirun gives ranks terminals, and passes on what they print to them: colours and the like would be part of it.
    if Launcher.Processes > 1 then
        Environment.SetEnvironmentVariable("TERM", "dumb")

    match ProcessLimits.OpenFilesProblem openFiles with
    | null ->
        Outcome.guard (fun () ->
            requireWords arguments
            parser.Value.ParseCommandLine(arguments, raiseOnUsage = false) |> run (Array.toList arguments))
        |> int
    | problem ->
        Console.Error.WriteLine $"normfree: {problem}"
        int Outcome.Failed
