using System.Diagnostics;

namespace NormFree.Distributed.Mpi;

/// <summary>Ranks that Open MPI connects. One thread makes all calls of MPI, so that its sums overlap with whatever the others do.</summary>
internal sealed class MpiRanks : IRanks
{
    private readonly MpiThread thread;
    private readonly string[] names;

    private MpiRanks(MpiThread thread)
    {
        this.thread = thread;
        names = [Environment.MachineName];
        names = this.AllGather(Environment.MachineName);
        thread.NameOf = NameOf;
    }

    /// <inheritdoc cref="Ranks.Join"/>
    public static MpiRanks Join(int processes, TimeSpan patience, Action<string> lost) =>
        new(MpiThread.Start(MpiLibrary.Load(), processes, patience, lost));

    /// <inheritdoc/>
    public int Size => thread.Size;

    /// <inheritdoc/>
    public int Rank => thread.Rank;

    /// <inheritdoc/>
    public string NameOf(int rank) => $"rank {rank} on {names[rank]}";

    /// <inheritdoc/>
    public IPendingSum BeginSum(nint values, nint sums, int count, NumberType type) => thread.Post(new MpiSum(values, sums, count, type));

    /// <inheritdoc/>
    public long[]? TryFinalBarrier(long word, TimeSpan patience) => thread.TryFinalBarrier(word, patience);

    /// <inheritdoc/>
    public void Leave() => thread.End();

    /// <inheritdoc/>
    public void Abort(int code) => thread.Abort(code);
}

/// <summary>A sum on its way through MPI: asked for by one thread, worked on by the one that calls MPI.</summary>
internal sealed class MpiSum(nint values, nint sums, int count, NumberType type) : IPendingSum
{
    private readonly ManualResetEventSlim done = new();
    private readonly long begin = Stopwatch.GetTimestamp();
    private nint request;
    private long end;
    private DistributedException? failure;

    /// <inheritdoc/>
    public (long Begin, long End) Span => (begin, end);

    /// <inheritdoc/>
    public void Wait()
    {
        done.Wait();
        if (failure is not null) throw failure;
    }

    /// <summary>The same, with an end of patience; false where it has come to that.</summary>
    public bool TryWait(TimeSpan patience)
    {
        if (!done.Wait(patience)) return false;
        Wait();
        return true;
    }

    /// <summary>Hands it to MPI.</summary>
    public void Start(MpiCalls mpi, nint communicator) => request = mpi.BeginSum(values, sums, count, type, communicator);

    /// <summary>Whether it is done; whoever waits goes on then.</summary>
    public bool IsDone(MpiCalls mpi)
    {
        if (!mpi.IsDone(ref request)) return false;
        Complete();
        return true;
    }

    /// <summary>Ends the waiting by a failure.</summary>
    public void Fail(DistributedException met)
    {
        failure = met;
        Complete();
    }

    private void Complete()
    {
        end = Stopwatch.GetTimestamp();
        done.Set();
    }
}
