namespace NormFree.Distributed;

/// <summary>A sum over ranks that is under way.</summary>
public interface IPendingSum
{
    /// <summary>When it was asked for, and when its result was there: <see cref="System.Diagnostics.Stopwatch"/> timestamps. The second is known once it was waited for.</summary>
    (long Begin, long End) Span { get; }

    /// <summary>Returns when the sums are there.</summary>
    /// <exception cref="DistributedException">MPI has failed.</exception>
    void Wait();
}
