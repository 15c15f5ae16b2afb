namespace NormFree.Cli

open System
open System.IO
open System.Threading
open NormFree.Data
open NormFree.Distributed
open NormFree.Formats
open NormFree.Runs

/// <summary>How a command ends; the number is the exit code of the process.</summary>
type Outcome =
    | Success = 0
    | Failed = 1
    | BadUsage = 2
    /// A training reached its time limit and can be resumed. EX_TEMPFAIL of sysexits.h.
    | TimeLimit = 75

/// <summary>The command line is wrong; the message says what to change.</summary>
[<Sealed>]
type UsageException(message: string) =
    inherit Exception(message)

/// <summary>The command was interrupted; the message says what is kept.</summary>
[<Sealed>]
type InterruptedException(message: string) =
    inherit Exception(message)

/// <summary>The command reached its time limit; the message says what is kept.</summary>
[<Sealed>]
type TimeLimitException(message: string) =
    inherit Exception(message)

/// <summary>The command failed and the reason is already printed, by this rank or by the first one for all ranks.</summary>
[<Sealed>]
type AlreadyReportedException(outcome: Outcome) =
    inherit Exception "The reason of the failure is already printed."

    /// <summary>How the process should end.</summary>
    member _.Outcome = outcome

[<RequireQualifiedAccess>]
module Outcome =

    /// libtorch appends its stack to its messages.
    let private firstLine (text: string) = (Array.head (text.Split '\n')).TrimEnd()

    /// The system's message, which may lack its full stop, and what to do.
    let private advise (error: exn) advice = $"{error.Message.TrimEnd('.', ' ')}. {advice}"

    /// Linux's error numbers ENOSPC, EDQUOT and EFBIG.
    let private isFull (error: IOException) = List.contains error.HResult [ 28; 122; 27 ]

    /// EMFILE and ENFILE.
    let private hasTooManyOpen (error: IOException) = List.contains error.HResult [ 24; 23 ]

    /// libtorch reports failed allocations this way.
    let private isAllocation (error: Runtime.InteropServices.ExternalException) =
        error.Message.Contains "can't allocate memory" || error.Message.Contains "not enough memory"

    let private outOfMemory =
        "memory ran out. Use a smaller batch or network, or raise the memory limit (ulimit -v)."

    /// The outcome and the message of an error that a user can act on; None for a bug.
    let rec private explain (error: exn) =
        match error with
        | :? UsageException ->
            Some(Outcome.BadUsage, $"{error.Message}\nTry 'normfree --help', or 'normfree COMMAND --help'.")
        | :? TimeLimitException -> Some(Outcome.TimeLimit, error.Message)
        | :? TrainingException
        | :? DataException
        | :? InvalidFileException
        | :? InterruptedException
        | :? DistributedException -> Some(Outcome.Failed, error.Message)
        | :? DllNotFoundException when error.Message.Contains "failed to map" -> Some(Outcome.Failed, outOfMemory)
        | :? DllNotFoundException -> Some(Outcome.Failed, error.Message)
        | :? FileNotFoundException
        | :? DirectoryNotFoundException -> Some(Outcome.Failed, advise error "Check the path.")
        | :? UnauthorizedAccessException ->
            Some(Outcome.Failed, advise error "Check the permissions, or choose another folder.")
        | :? IOException as error when isFull error ->
            Some(
                Outcome.Failed,
                advise error "Free space or choose another folder; files that were complete before are intact."
            )
        | :? IOException as error when hasTooManyOpen error ->
            Some(Outcome.Failed, advise error "Raise the limit of open files (ulimit -n).")
        | :? IOException -> Some(Outcome.Failed, advise error "Check the path and the disk.")
        | :? OutOfMemoryException -> Some(Outcome.Failed, outOfMemory)
        | :? Runtime.InteropServices.ExternalException as error when isAllocation error ->
            Some(Outcome.Failed, outOfMemory)
        | :? OperationCanceledException -> Some(Outcome.Failed, "interrupted. Nothing is kept.")
        | :? AggregateException as many when many.InnerExceptions.Count = 1 -> explain many.InnerExceptions[0]
        // Libraries load their native part when they are used first.
        | :? TypeInitializationException -> error.InnerException |> Option.ofObj |> Option.bind explain
        | _ -> None

    /// <summary>The outcome of a command that fails for this reason.</summary>
    let ofError (error: exn) = explain error |> Option.map fst |> Option.defaultValue Outcome.Failed

    /// <summary>Prints the reason of a failure on the error stream, after the name of the rank that failed.</summary>
    let report (who: string) (error: exn) =
        match explain error with
        | Some(outcome, message) ->
            Output.error (who + message)
            outcome
        | None ->
            let what = firstLine error.Message

            Output.error
                $"{who}internal error: {error.GetType().Name}: {what} Please report it with the output of the same command under \
                  NORMFREE_TRACE=1."

            if not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable "NORMFREE_TRACE")) then
                Console.Error.WriteLine error

            Outcome.Failed

    /// <summary>Runs a command. Every exception becomes a message on the error stream and an exit code.</summary>
    let guard (command: unit -> unit) =
        try
            command ()
            Outcome.Success
        with
        | :? AlreadyReportedException as reported -> reported.Outcome
        | error -> report "" error

    /// <summary>Runs a command with a token that the first Ctrl-C, SIGTERM or SIGHUP cancels. A second signal ends the process at once.</summary>
    /// <remarks><c>what</c> tells the user what is kept after an interruption.</remarks>
    let untilInterrupted (what: string) (command: CancellationToken -> 'a) : 'a =
        use source = new CancellationTokenSource()
        use _ = Signals.atFirst (fun _ -> source.Cancel())

        try
            command source.Token
        with :? OperationCanceledException ->
            raise (InterruptedException("interrupted. " + what))

    /// How long a command may take to end by itself.
    let private grace = TimeSpan.FromSeconds 1.5

    /// <summary>The same for commands that leave only whole files: if the command does not end by itself soon after the signal, the process ends.</summary>
    let untilStopped (what: string) (command: CancellationToken -> unit) =
        let ended = new ManualResetEventSlim()

        let endSoon () =
            if not (ended.Wait grace) then
                Output.error ("interrupted. " + what)
                Signals.exitAtOnce (int Outcome.Failed)

        untilInterrupted what (fun cancellation ->
            use _ = cancellation.Register(fun () -> Thread(ThreadStart endSoon, IsBackground = true).Start())

            try
                command cancellation
            finally
                ended.Set())
