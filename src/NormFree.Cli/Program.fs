module NormFree.Cli.Program

open System
open System.Threading
open NormFree.Distributed
open NormFree.Formats
open NormFree.Kernels.Simd
open NormFree.Runs
open NormFree.Torch.Native

/// Chooses the instruction set of the process, before anything computes.
let private useInstructions (args: Arguments) =
    match args.TryGet Options.Execution.instructions with
    | None -> ()
    | Some set when InstructionSets.IsSupported set ->
        InstructionSets.Use set

        if isNull TorchNative.LoadedFrom then
            TorchNative.Limit set
    | Some set ->
        let name (set: InstructionSet) = (string set).ToLowerInvariant()
        let has = InstructionSets.Supported |> Seq.map name |> String.concat ", "
        raise (UsageException $"--instructions {name set}: this processor does not have it. It has {has}.")

/// Runs a command that leaves only whole files and ends at a signal.
let private stoppable kept (command: Arguments -> CancellationToken -> unit) (args: Arguments) =
    Outcome.untilStopped kept (command args)

/// The same for commands that compute. libtorch is loaded when it is needed: a packed network runs without it.
let private computing command (args: Arguments) =
    useInstructions args
    stoppable "Nothing is kept." command args

let private train (args: Arguments) =
    let isPrinted = args.Has Options.Run.printConfig

    if Supervisor.isRequested args && not isPrinted then
        Supervisor.run args
    else
        if not isPrinted then
            useInstructions args

        TrainCommand.run args

let private printCompletion (args: Arguments) = Completion.script args.Operands.Head |> List.iter Output.line

let private action (command: Command) : Arguments -> unit =
    match command.Name with
    | "train" -> train
    | "eval" -> computing EvalCommand.run
    | "predict" -> computing PredictCommand.run
    | "summary" -> computing SummaryCommand.run
    | "network list" -> fun _ -> NetworkCommand.list ()
    | "network show" -> NetworkCommand.show
    | "data get" -> stoppable "The downloaded part is kept; the same command continues it." DataCommand.get
    | "data check" -> stoppable "Nothing is kept." DataCommand.check
    | "bench train" -> computing BenchCommand.train
    | "bench infer" -> computing BenchInferCommand.run
    | "bench kernels" -> computing BenchKernelsCommand.run
    | "report" -> computing ReportCommand.run
    | "import" -> computing ImportCommand.run
    | "export" -> computing ExportCommand.run
    | "verify" -> computing VerifyCommand.run
    | "zoo list" -> fun _ -> ZooCommand.list ()
    | "zoo card" -> ZooCommand.card
    | "zoo export" -> ZooCommand.export
    | "zoo add" -> computing ZooAddCommand.run
    | "completion" -> printCompletion
    | "reference" -> fun _ -> Output.line (Reference.markdown ())
    | other -> invalidOp $"command {other} has no action"

let private isHelp word = word = "--help" || word = "-h"
let private print lines = List.iter Output.line lines

let private printVersion () =
    let version = typeof<Command>.Assembly.GetName().Version
    Output.line $"normfree {version}"

let private run (command: Command) words =
    match words |> List.takeWhile ((<>) "--") |> List.skipWhile (isHelp >> not) with
    | [] -> action command (Parser.parse command words)
    | _ :: others -> print (Help.command (List.tryHead others = Some "all") (Help.width ()) command)

let private unknown what (word: string) known =
    let given = Quoted.Name word
    raise (UsageException $"there is no {what} {given}.{Suggestion.didYouMean known word}")

/// Runs the second word of `data` or `bench`.
let private dispatchGroup group words =
    let commands = Commands.all |> List.filter _.Name.StartsWith(group + " ")

    match words, List.tryFind (fst >> (=) group) Commands.defaults with
    | [], Some(_, command) -> run command []
    | [], None -> print (Help.group (Help.width ()) group)
    | word :: _, _ when isHelp word -> print (Help.group (Help.width ()) group)
    | word :: rest, _ ->
        match commands |> List.tryFind (fun command -> command.Name = $"{group} {word}") with
        | Some command -> run command rest
        | None ->
            let given = Quoted.Name $"{group} {word}"
            let known = [ for command in commands -> command.Name.Split(' ')[1] ]

            let hint =
                match Suggestion.nearest known word with
                | Some near -> $" Did you mean '{group} {near}'?"
                | None -> $""" There are {known |> List.map (fun word -> $"'{group} {word}'") |> String.concat ", "}."""

            raise (UsageException $"there is no command {given}.{hint}")

let rec private dispatch (words: string list) =
    match words with
    | []
    | [ "help" ] -> print (Help.overview (Help.width ()))
    | word :: _ when isHelp word -> print (Help.overview (Help.width ()))
    | "help" :: rest when List.tryLast rest = Some "all" ->
        dispatch (List.truncate (rest.Length - 1) rest @ [ "--help"; "all" ])
    | "help" :: rest -> dispatch (rest @ [ "--help" ])
    | [ "--version" ]
    | [ "version" ] -> printVersion ()
    | word :: rest when Commands.groups |> List.exists (fst >> (=) word) -> dispatchGroup word rest
    | word :: rest ->
        match Commands.all |> List.tryFind (fun command -> command.Name = word) with
        | Some command -> run command rest
        | None when word.StartsWith '-' -> unknown "option" word [ "--help"; "--version" ]
        | None -> unknown "command" word (Commands.firstWords @ [ "help"; "version" ])

/// The open files that every command needs, most of them assemblies.
let private openFiles = 256

/// An empty argument is most often an unset variable of a shell.
let private requireWords (arguments: string[]) =
    match Array.tryFindIndex String.IsNullOrWhiteSpace arguments with
    | Some 0 -> raise (UsageException "the first argument is empty.")
    | Some place -> raise (UsageException $"the argument after {arguments[place - 1]} is empty.")
    | None -> ()

[<EntryPoint>]
let main arguments =
    // mpirun gives ranks terminals and passes on what they print: colours would become part of it.
    if Launcher.Processes > 1 then
        Environment.SetEnvironmentVariable("TERM", "dumb")

    OldNames.warn <- Output.warn

    match ProcessLimits.OpenFilesProblem openFiles with
    | null ->
        Outcome.guard (fun () ->
            requireWords arguments
            dispatch (Array.toList arguments))
        |> int
    | problem ->
        Output.error problem
        int Outcome.Failed
