using NormFree.Distributed.Mpi;

namespace NormFree.Distributed;

/// <summary>The door to working together.</summary>
/// <example><code>
/// var ranks = Ranks.Join(TimeSpan.FromSeconds(30), Console.Error.WriteLine);
/// double images = ranks.Sum(mine)[0];
/// ranks.TryPart(0, Timeout.InfiniteTimeSpan);
/// ranks.Leave();
/// </code></example>
public static class Ranks
{
    /// <summary>How long a rank may be missing if nothing is said.</summary>
    public static TimeSpan DefaultPatience { get; } = TimeSpan.FromSeconds(30);

    /// <summary>Joins the processes that a launcher has started with this one; one that was started alone, or by no launcher, stays alone, and no
    /// MPI is looked for.</summary>
    /// <param name="patience">How long a rank may be silent or behind the others before the job is ended.</param>
    /// <param name="lost">Told which ranks are missing before the job is ended by <see cref="IRanks.Abort"/>.</param>
    /// <exception cref="DistributedException">There is no Open MPI, or the launcher is of another MPI.</exception>
    public static IRanks Join(TimeSpan patience, Action<string> lost) =>
        Launcher.Processes == 1 ? OneRank.Instance : MpiRanks.Join(Launcher.Processes, patience, lost);
}
