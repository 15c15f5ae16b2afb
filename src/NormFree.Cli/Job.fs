namespace NormFree.Cli

open System
open System.Threading
open NormFree.Distributed

/// Commands as jobs of several processes: those that mpirun has started together.
[<RequireQualifiedAccess>]
module internal Job =

    /// How long a rank that has failed waits for others to fail like it, before it takes them down.
    let private grace = TimeSpan.FromSeconds 5.0

    let private lost (who: string) = Console.Error.WriteLine $"normfree: {who}"

    /// <summary>Runs a command together with the processes that a launcher has started with this one, or alone.</summary>
    /// <remarks>
    /// What goes wrong for all ranks is told by the first one; what goes wrong for one of them is told under its name, and ends them all. A rank that is
    /// silent, or not where others wait for it, for that long ends the job, too.
    /// </remarks>
    let run (patience: TimeSpan option) (command: IRanks -> unit) =
        let ranks = Ranks.Join(patience |> Option.defaultValue Ranks.DefaultPatience, lost)

        try
            command ranks
            ranks.TryLeave Timeout.InfiniteTimeSpan |> ignore
        with error ->
            let areAllHere = ranks.TryLeave grace

            if areAllHere && ranks.Rank = 0 then
                reraise ()

            if not areAllHere then
                Outcome.tell $"{ranks.NameOf ranks.Rank}: " error |> ignore
                ranks.Abort(int Outcome.Failed)

            raise (ToldAlreadyException())
