namespace NormFree.Cli

open System
open System.Security.Cryptography
open System.Text
open System.Threading
open NormFree.Distributed

/// Commands that run as a job of several processes (ranks), which mpirun has started.
[<RequireQualifiedAccess>]
module internal Job =

    /// How long a failed rank waits for others to fail like it before it ends them: shorter than the time after which they miss it.
    let private grace (timeout: TimeSpan) = min (TimeSpan.FromSeconds 5.0) (timeout / 2.0)

    /// How long a rank that ends the others lets those that failed at the same time print their own reasons.
    let private reportingTime = TimeSpan.FromSeconds 1.0

    let private lost (who: string) = Output.error who

    /// The final status of a rank that succeeded.
    let private succeeded = 0L

    /// The final status of a rank that failed: equal for equal reasons.
    let private statusOf (error: exn) =
        let hash = SHA256.HashData(Encoding.UTF8.GetBytes $"{error.GetType()}: {error.Message}")
        1L + int64 (BitConverter.ToUInt32(hash, 0))

    let private reportByName (ranks: IRanks) error = Outcome.report $"{ranks.NameOf ranks.Rank}: " error

    /// Prints the reason of a failure before any rank ends: only the first rank does if all failed for the same reason.
    let private report (ranks: IRanks) statuses error =
        if statuses |> Array.exists ((<>) (statusOf error)) then
            reportByName ranks error
        elif ranks.Rank = 0 then
            Outcome.report "" error
        else
            Outcome.ofError error

    /// Ends all other ranks after a reason was printed.
    let private abort sleep (ranks: IRanks) (outcome: Outcome) =
        sleep reportingTime
        ranks.Abort(int outcome)
        raise (AlreadyReportedException outcome)

    /// Does the last step of a job with all ranks. If their connection fails, the reason is printed and all ranks end.
    let private collectively sleep (ranks: IRanks) action =
        try
            action ()
        with :? DistributedException as failure ->
            reportByName ranks failure |> abort sleep ranks

    /// Ends a rank that failed, and all others if they wait for something that will not come.
    let private fail sleep (ranks: IRanks) timeout (error: exn) =
        let statuses =
            try
                ranks.TryFinalBarrier(statusOf error, grace timeout)
            with :? DistributedException as failure ->
                // The same failure may have ended the command.
                if failure.Message <> error.Message then
                    reportByName ranks failure |> ignore

                null

        match statuses with
        | NonNull statuses ->
            let outcome = report ranks statuses error
            collectively sleep ranks ranks.Leave
            raise (AlreadyReportedException outcome)
        | _ -> reportByName ranks error |> abort sleep ranks

    /// The same as `runOn`, with the function that waits.
    let runOnClock (sleep: TimeSpan -> unit) (ranks: IRanks) timeout (command: IRanks -> unit) =
        try
            command ranks
        with error ->
            fail sleep ranks timeout error

        collectively sleep ranks (fun () ->
            ranks.TryFinalBarrier(succeeded, Timeout.InfiniteTimeSpan) |> ignore
            ranks.Leave())

    /// The same as `run`, for ranks that have joined.
    let runOn (ranks: IRanks) timeout command = runOnClock Thread.Sleep ranks timeout command

    /// <summary>Runs a command with the processes that a launcher has started with this one, or alone.</summary>
    /// <remarks>
    /// A failure of all ranks is printed once, by the first one. A failure of some ranks is printed by each of them under its name and ends all ranks.
    /// A rank that is silent for <c>timeout</c> ends the job too.
    /// </remarks>
    let run (timeout: TimeSpan option) (command: IRanks -> unit) =
        let timeout = timeout |> Option.defaultValue Ranks.DefaultTimeout
        runOn (Ranks.Join(timeout, lost)) timeout command
