using System.Diagnostics;

namespace NormFree.Distributed;

/// <summary>A process that works alone: its sums are its values.</summary>
public sealed unsafe class OneRank : IRanks
{
    /// <summary>The only one; it has no state.</summary>
    public static OneRank Instance { get; } = new();

    private OneRank() { }

    /// <inheritdoc/>
    public int Size => 1;

    /// <inheritdoc/>
    public int Rank => 0;

    /// <inheritdoc/>
    public string NameOf(int rank) => $"rank {rank} on {Environment.MachineName}";

    /// <inheritdoc/>
    public IPendingSum BeginSum(nint values, nint sums, int count, NumberType type)
    {
        var bytes = (long)count * (type == NumberType.Float32 ? sizeof(float) : sizeof(double));
        Buffer.MemoryCopy((void*)values, (void*)sums, bytes, bytes);
        return new Done(Stopwatch.GetTimestamp());
    }

    /// <inheritdoc/>
    public long[] TryPart(long word, TimeSpan patience) => [word];

    /// <inheritdoc/>
    public void Leave() { }

    /// <inheritdoc/>
    public void Abort(int code) { }

    private sealed class Done(long time) : IPendingSum
    {
        public (long Begin, long End) Span => (time, time);

        public void Wait() { }
    }
}
