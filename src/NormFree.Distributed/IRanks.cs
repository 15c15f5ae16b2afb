namespace NormFree.Distributed;

/// <summary>The processes (ranks) of one distributed job, as seen by one of them. A single process is a job of one rank.</summary>
/// <remarks>
/// Every rank must request the same sums in the same order, each from a single thread. The sum over ranks is the only collective operation; barriers
/// and gathers are built from it (<see cref="RankExtensions"/>).
/// </remarks>
public interface IRanks
{
    /// <summary>The number of ranks.</summary>
    int Size { get; }

    /// <summary>The index of this rank, from 0.</summary>
    int Rank { get; }

    /// <summary>The display name of a rank: its index and its host.</summary>
    string NameOf(int rank);

    /// <summary>Starts a sum over all ranks (an all-reduce). Every rank receives the same bits.</summary>
    /// <remarks>Both buffers must stay at their addresses until <see cref="IPendingSum.Wait"/> returns, and must not overlap.</remarks>
    /// <param name="values">Address of this rank's values.</param>
    /// <param name="sums">Address that receives the sums.</param>
    /// <param name="count">Number of values.</param>
    /// <param name="type">Type of the values.</param>
    IPendingSum BeginSum(nint values, nint sums, int count, NumberType type);

    /// <summary>Waits for all ranks at the end of the job and exchanges one status per rank. No sum may be started afterwards.</summary>
    /// <param name="status">This rank's status, from 0 to 2⁵³ − 1.</param>
    /// <param name="timeout">How long to wait for the other ranks.</param>
    /// <returns>The statuses in rank order, or null on timeout. After a timeout, only <see cref="Abort"/> may be called.</returns>
    /// <exception cref="DistributedException">The connection between the ranks failed. Only <see cref="Abort"/> may be called.</exception>
    long[]? TryFinalBarrier(long status, TimeSpan timeout);

    /// <summary>Shuts communication down after a successful <see cref="TryFinalBarrier"/>. Returns once every rank has called it.</summary>
    /// <exception cref="DistributedException">The connection between the ranks failed. Only <see cref="Abort"/> may be called.</exception>
    void Leave();

    /// <summary>Kills all ranks immediately. Returns only if this is the only rank.</summary>
    /// <param name="code">The exit code.</param>
    void Abort(int code);
}

/// <summary>A sum over ranks in progress.</summary>
public interface IPendingSum
{
    /// <summary>When the sum was requested and when it completed, as <see cref="System.Diagnostics.Stopwatch"/> timestamps. The end is valid after <see cref="Wait"/>.</summary>
    (long Start, long End) Timestamps { get; }

    /// <summary>Blocks until the sums are available.</summary>
    /// <exception cref="DistributedException">MPI failed.</exception>
    void Wait();
}

/// <summary>The type of the values in a sum over ranks.</summary>
public enum NumberType
{
    /// <summary>float.</summary>
    Float32,

    /// <summary>double.</summary>
    Float64,
}
