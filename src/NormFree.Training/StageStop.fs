namespace NormFree.Training

open System
open System.Threading
open NormFree.Distributed

/// <summary>A training reached <c>RunOptions.Deadline</c>. Its last step was saved, as when it is cancelled.</summary>
[<Sealed>]
type DeadlineException() =
    inherit OperationCanceledException("The training reached its deadline.")

/// Ends a stage when the caller cancels or the deadline passes: at once in a single process; among several ranks as soon as all of them know.
[<Sealed>]
type internal StageStop(options: RunOptions) =

    /// Timers take at most 49 days. A later deadline is noticed after a step.
    let longestTimer = TimeSpan.FromDays 40.0

    let caller, deadline = options.Cancellation, new CancellationTokenSource()

    let source =
        if options.Ranks.Size = 1 then
            CancellationTokenSource.CreateLinkedTokenSource(caller, deadline.Token)
        else
            new CancellationTokenSource()

    let remaining () = options.Deadline |> Option.map (fun time -> time - DateTimeOffset.UtcNow)
    let isPast () = remaining () |> Option.exists (fun time -> time <= TimeSpan.Zero)

    /// Whether all ranks agreed to stop, and then whether only because of the deadline.
    let mutable agreed: bool option = None

    do
        match remaining () with
        | Some time when time <= TimeSpan.Zero -> deadline.Cancel()
        | Some time when time < longestTimer -> deadline.CancelAfter time
        | _ -> ()

    /// Cancels the work of the stage.
    member _.Token = source.Token

    member _.IsRequested = source.IsCancellationRequested

    /// Whether the deadline stopped the stage, not the caller. All ranks get the same answer.
    member _.IsByDeadline =
        match agreed with
        | Some isByDeadline -> isByDeadline
        | None -> deadline.IsCancellationRequested && not caller.IsCancellationRequested

    /// Stops all ranks if the caller of any of them cancelled, or its deadline has passed. All ranks must call it at the same places.
    member _.Synchronise() =
        let asked isAsked = if isAsked then 1.0 else 0.0
        let all = options.Ranks.Sum [| asked caller.IsCancellationRequested; asked (isPast ()) |]

        if all[0] + all[1] > 0.0 then
            agreed <- Some(all[0] = 0.0)
            source.Cancel()

    interface IDisposable with
        member _.Dispose() =
            source.Dispose()
            deadline.Dispose()
