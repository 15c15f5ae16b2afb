using System.Diagnostics;

namespace NormFree.Distributed.Mpi;

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
