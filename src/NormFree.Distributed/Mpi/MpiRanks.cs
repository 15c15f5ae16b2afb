using System.Diagnostics;

namespace NormFree.Distributed.Mpi;

/// <summary>Ranks connected by Open MPI. One thread makes all MPI calls, so that sums overlap with other work.</summary>
internal sealed class MpiRanks : IRanks
{
    private readonly MpiThread thread;
    private readonly string[] hosts;

    private MpiRanks(MpiThread thread)
    {
        this.thread = thread;
        hosts = this.AllGather(Environment.MachineName);
        thread.NameOf = NameOf;
    }

    /// <inheritdoc cref="Ranks.Join"/>
    public static MpiRanks Join(int processes, TimeSpan timeout, Action<string> onLost) =>
        new(MpiThread.Start(MpiLibrary.Load(), processes, timeout, onLost));

    /// <inheritdoc/>
    public int Size => thread.Size;

    /// <inheritdoc/>
    public int Rank => thread.Rank;

    /// <inheritdoc/>
    public string NameOf(int rank) => $"rank {rank} on {hosts[rank]}";

    /// <inheritdoc/>
    public IPendingSum BeginSum(nint values, nint sums, int count, NumberType type) => thread.Post(new MpiSum(values, sums, count, type));

    /// <inheritdoc/>
    public long[]? TryFinalBarrier(long status, TimeSpan timeout) => thread.TryFinalBarrier(status, timeout);

    /// <inheritdoc/>
    public void Leave() => thread.End();

    /// <inheritdoc/>
    public void Abort(int code) => thread.Abort(code);
}

/// <summary>A sum that one thread requests and the MPI thread carries out.</summary>
internal sealed class MpiSum(nint values, nint sums, int count, NumberType type) : IPendingSum
{
    private readonly ManualResetEventSlim done = new();
    private readonly long start = Stopwatch.GetTimestamp();
    private nint request;
    private long end;
    private DistributedException? failure;

    /// <inheritdoc/>
    public (long Start, long End) Timestamps => (start, end);

    /// <inheritdoc/>
    public void Wait() => TryWait(Timeout.InfiniteTimeSpan);

    /// <summary><see cref="Wait"/> with a timeout; false if it expires.</summary>
    public bool TryWait(TimeSpan timeout)
    {
        if (!done.Wait(timeout)) return false;
        return failure is null ? true : throw failure;
    }

    /// <summary>Passes the sum to MPI.</summary>
    public void Start(MpiCalls mpi, nint communicator) => request = mpi.BeginSum(values, sums, count, type, communicator);

    /// <summary>Whether MPI has completed the sum; if so, releases the waiting threads.</summary>
    public bool IsDone(MpiCalls mpi)
    {
        if (!mpi.IsDone(ref request)) return false;
        Complete();
        return true;
    }

    /// <summary>Makes the waiting threads throw.</summary>
    public void Fail(DistributedException error)
    {
        failure = error;
        Complete();
    }

    private void Complete()
    {
        end = Stopwatch.GetTimestamp();
        done.Set();
    }
}
