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
        names = this.Texts(Environment.MachineName);
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
    public long[]? TryPart(long word, TimeSpan patience) => thread.TryPart(word, patience);

    /// <inheritdoc/>
    public void Leave() => thread.End();

    /// <inheritdoc/>
    public void Abort(int code) => thread.Abort(code);
}
