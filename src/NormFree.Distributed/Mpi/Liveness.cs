namespace NormFree.Distributed.Mpi;

/// <summary>Who of the other ranks is missing: one that is silent, or that has not come where others wait for it.</summary>
/// <remarks>
/// Rank 0 watches all, the others watch rank 0: two messages a rank and second. What a rank says is how many sums it has asked for. Ranks ask for the
/// same ones, so whoever has asked for fewer than another for as long as the patience lasts is what the others wait for: a process whose messages still
/// come but whose work hangs is found like that. Pure: times come from outside.
/// </remarks>
internal sealed class Liveness
{
    private readonly TimeSpan patience;
    private readonly int[] watched;
    private readonly long[] asked;
    private readonly TimeSpan[] heard;
    private readonly int rank;
    private TimeSpan topSince;
    private TimeSpan looked;

    /// <summary>All ranks are there at the begin.</summary>
    public Liveness(int size, int rank, TimeSpan patience, TimeSpan now)
    {
        (this.rank, this.patience) = (rank, patience);
        watched = rank == 0 ? [.. Enumerable.Range(1, size - 1)] : [0];
        asked = new long[size];
        heard = new TimeSpan[size];
        Forgive(now);
    }

    /// <summary>The ranks that this one watches, and tells about itself.</summary>
    public IReadOnlyList<int> Watched => watched;

    /// <summary>A rank has asked for that many sums: another one, by its message, or this one.</summary>
    public void Heard(int from, long count, TimeSpan now)
    {
        heard[from] = now;
        if (count > asked.Max()) topSince = now;
        asked[from] = count;
    }

    /// <summary>The ranks that have been missing for longer than the patience lasts.</summary>
    /// <remarks>To be asked several times in that time: where nobody has asked for half of it, this process itself was stopped, and it knows nothing
    /// about the others.</remarks>
    public int[] Missing(TimeSpan now)
    {
        if (now - looked > patience / 2) Forgive(now);
        looked = now;
        var top = asked.Max();
        var late = now - topSince > patience;
        return [.. watched.Where(other => now - heard[other] > patience || (late && asked[other] < top))];
    }

    /// <summary>How many sums this rank has asked for.</summary>
    public long Mine => asked[rank];

    private void Forgive(TimeSpan now)
    {
        Array.Fill(heard, now);
        (topSince, looked) = (now, now);
    }
}
