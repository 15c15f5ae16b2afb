namespace NormFree.Cli

open System
open System.Security.Cryptography
open System.Text
open System.Threading
open NormFree.Distributed

/// Commands as jobs of several processes: those that mpirun has started together.
[<RequireQualifiedAccess>]
module internal Job =

    /// How long a rank that has failed waits for others to fail like it, before it takes them down: not so long that they miss it before.
    let private grace (patience: TimeSpan) = min (TimeSpan.FromSeconds 5.0) (patience / 2.0)

    /// How long a rank that takes the others down leaves to those that have failed when it did: they tell their own reasons.
    let private moment = TimeSpan.FromSeconds 1.0

    let private lost (who: string) = Console.Error.WriteLine $"normfree: {who}"

    /// The parting word of a rank that has ended well.
    let private well = 0L

    /// The parting word of a rank that has failed: the same for the same reason.
    let private word (error: exn) =
        let hash = SHA256.HashData(Encoding.UTF8.GetBytes $"{error.GetType()}: {error.Message}")
        1L + int64 (BitConverter.ToUInt32(hash, 0))

    let private tellByName (ranks: IRanks) error = Outcome.tell $"{ranks.NameOf ranks.Rank}: " error

    /// Tells what has gone wrong, before any rank is gone: the first one for all, where all say the same.
    let private tell (ranks: IRanks) words error =
        if words |> Array.exists ((<>) (word error)) then tellByName ranks error
        elif ranks.Rank = 0 then Outcome.tell "" error
        else Outcome.Failed

    /// Takes all others down, behind a reason that was told.
    let private abort (ranks: IRanks) (outcome: Outcome) =
        Thread.Sleep moment
        ranks.Abort(int outcome)
        raise (ToldAlreadyException outcome)

    /// What is done at the end with the others, whom a failure of what connects them takes down: its reason is told.
    let private together (ranks: IRanks) action =
        try
            action ()
        with :? DistributedException as failure ->
            tellByName ranks failure |> abort ranks

    /// Ends a rank that has failed; with it all others, where they wait for something that does not come any more.
    let private fail (ranks: IRanks) patience (error: exn) =
        let words =
            try
                ranks.TryFinalBarrier(word error, grace patience)
            with :? DistributedException as failure ->
                // It may be what has failed before.
                if failure.Message <> error.Message then
                    tellByName ranks failure |> ignore

                null

        match words with
        | NonNull words ->
            let outcome = tell ranks words error
            together ranks ranks.Leave
            raise (ToldAlreadyException outcome)
        | _ -> tellByName ranks error |> abort ranks

    /// The same as `run`, for ranks that have joined.
    let runOn (ranks: IRanks) patience (command: IRanks -> unit) =
        try
            command ranks
        with error ->
            fail ranks patience error

        together ranks (fun () ->
            ranks.TryFinalBarrier(well, Timeout.InfiniteTimeSpan) |> ignore
            ranks.Leave())

    /// <summary>Runs a command together with the processes that a launcher has started with this one, or alone.</summary>
    /// <remarks>
    /// What goes wrong for all ranks alike is told by the first one; what goes wrong for some of them is told by each under its name, and ends them all.
    /// A rank that is silent, or not where others wait for it, for that long ends the job, too.
    /// </remarks>
    let run (patience: TimeSpan option) (command: IRanks -> unit) =
        let patience = patience |> Option.defaultValue Ranks.DefaultTimeout
        runOn (Ranks.Join(patience, lost)) patience command
