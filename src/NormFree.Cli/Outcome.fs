namespace NormFree.Cli

open System
open System.IO
open Argu
open NormFree.Data
open NormFree.Distributed
open NormFree.Formats
open NormFree.Runs
open NormFree.Training

/// <summary>How a command ends; the number is the process's exit code.</summary>
type Outcome =
    | Success = 0
    | Failed = 1
    | BadUsage = 2

/// <summary>The command line does not make sense; the message says what to change.</summary>
[<Sealed>]
type UsageException(message: string) =
    inherit Exception(message)

/// <summary>The command was interrupted; the message says what is kept.</summary>
[<Sealed>]
type InterruptedException(message: string) =
    inherit Exception(message)

/// <summary>The command has failed, and it was told already why: by this rank, or by the first one for all of them.</summary>
[<Sealed>]
type ToldAlreadyException(outcome: Outcome) =
    inherit Exception "It was told already what has happened."

    /// <summary>How the process should end.</summary>
    member _.Outcome = outcome

[<RequireQualifiedAccess>]
module Outcome =

    /// libtorch's messages go on with its stack.
    let private firstLine (text: string) = (Array.head (text.Split '\n')).TrimEnd()

    /// Names in messages come from files and options: what would act on the terminal is escaped here, once.
    let private complain (message: string) = Console.Error.WriteLine("normfree: " + Printable.Lines(message.TrimEnd()))

    /// Argu's own messages go on with the whole help; their first line says what is wrong.
    let private complaint (error: ArguParseException) =
        (firstLine error.Message).Replace("ERROR: ", "").TrimEnd('.') + "."

    /// The message of the system, which may lack its full stop, and what to do about it.
    let private advise (error: exn) advice = $"{error.Message.TrimEnd('.', ' ')}. {advice}"

    /// Linux's numbers for a full disk, a full quota and a file that is too large.
    let private isFull (error: IOException) = List.contains error.HResult [ 28; 122; 27 ]

    /// EMFILE and ENFILE.
    let private hasTooManyOpen (error: IOException) = List.contains error.HResult [ 24; 23 ]

    /// libtorch reports failed allocations this way.
    let private isAllocation (error: Runtime.InteropServices.ExternalException) =
        error.Message.Contains "can't allocate memory" || error.Message.Contains "not enough memory"

    let private outOfMemory =
        "memory ran out. Use a smaller batch or network, or raise the limit of memory (ulimit -v)."

    /// What a person can act on; nothing for a bug's exception.
    let rec private explain (error: exn) =
        match error with
        | :? ArguParseException as error -> explain (UsageException(complaint error))
        | :? UsageException ->
            Some(Outcome.BadUsage, $"{error.Message}\nTry 'normfree --help', or 'normfree COMMAND --help'.")
        | :? TrainingException
        | :? DataException
        | :? InvalidFileException
        | :? InterruptedException
        | :? DistributedException
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
        | :? OperationCanceledException -> Some(Outcome.Failed, "interrupted.")
        | :? AggregateException as many when many.InnerExceptions.Count = 1 -> explain many.InnerExceptions[0]
        | _ -> None

    /// <summary>Tells on the error stream what has gone wrong, and for whom; how the process should end.</summary>
    let tell (who: string) (error: exn) =
        match explain error with
        | Some(outcome, message) ->
            complain (who + message)
            outcome
        | None ->
            let what = firstLine error.Message

            complain
                $"{who}internal error: {error.GetType().Name}: {what} Please report it with what the same command prints under \
                  NORMFREE_TRACE=1."

            if not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable "NORMFREE_TRACE")) then
                Console.Error.WriteLine error

            Outcome.Failed

    /// <summary>Runs a command; whatever it throws becomes a message on the error stream and an exit code.</summary>
    let guard (command: unit -> unit) =
        try
            command ()
            Outcome.Success
        with
        | :? ToldAlreadyException as told -> told.Outcome
        | error -> tell "" error

    /// <summary>A token that is cancelled by the first Ctrl-C or SIGTERM; a second one ends the process at once.</summary>
    /// <remarks><c>what</c> tells who interrupted the command what is kept of it.</remarks>
    let untilInterrupted (what: string) (command: Threading.CancellationToken -> 'a) : 'a =
        use source = new Threading.CancellationTokenSource()
        use _ = Signals.atFirst source.Cancel

        try
            command source.Token
        with :? OperationCanceledException ->
            raise (InterruptedException("interrupted. " + what))
