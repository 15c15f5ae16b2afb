namespace NormFree.Distributed;

/// <summary>The processes that work on one training together, seen from one of them; a process that works alone is one of them, too.</summary>
/// <remarks>
/// All ranks must ask for the same sums in the same order, from one thread each. There is one operation, the sum: what else ranks tell one another
/// is made of it (<see cref="RankExtensions"/>).
/// </remarks>
public interface IRanks
{
    /// <summary>How many there are.</summary>
    int Size { get; }

    /// <summary>This one's number, from 0.</summary>
    int Rank { get; }

    /// <summary>A rank for people: its number and its machine.</summary>
    string NameOf(int rank);

    /// <summary>Begins to add up values over all ranks; every rank gets the same bits.</summary>
    /// <remarks>Both buffers must stay where they are until the sum was waited for, and must not overlap.</remarks>
    /// <param name="values">This rank's values.</param>
    /// <param name="sums">Where the sums go.</param>
    /// <param name="count">How many values there are.</param>
    /// <param name="type">Their type.</param>
    IPendingSum BeginSum(nint values, nint sums, int count, NumberType type);

    /// <summary>Meets all ranks for the last time, where each says a word; no sum may be asked for afterwards.</summary>
    /// <param name="word">This rank's: a whole number below 2⁵³.</param>
    /// <param name="patience">How long to wait for the others.</param>
    /// <returns>Their words, in the order of ranks; null where some did not come: they wait for something else, and only <see cref="Abort"/> is left.</returns>
    /// <exception cref="DistributedException">What connects the ranks has failed; only <see cref="Abort"/> is left.</exception>
    long[]? TryFinalBarrier(long word, TimeSpan patience);

    /// <summary>Ends the work together behind a parting; no rank returns before all have come here.</summary>
    /// <exception cref="DistributedException">What connects the ranks has failed; only <see cref="Abort"/> is left.</exception>
    void Leave();

    /// <summary>Ends all ranks at once; does not return where there are others.</summary>
    /// <param name="code">The exit code.</param>
    void Abort(int code);
}

/// <summary>A sum over ranks that is under way.</summary>
public interface IPendingSum
{
    /// <summary>When it was asked for, and when its result was there: <see cref="System.Diagnostics.Stopwatch"/> timestamps. The second is known once it was waited for.</summary>
    (long Begin, long End) Span { get; }

    /// <summary>Returns when the sums are there.</summary>
    /// <exception cref="DistributedException">MPI has failed.</exception>
    void Wait();
}

/// <summary>What is added up over ranks.</summary>
public enum NumberType
{
    /// <summary>float.</summary>
    Float32,

    /// <summary>double.</summary>
    Float64,
}
