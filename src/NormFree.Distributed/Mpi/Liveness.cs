namespace NormFree.Distributed.Mpi;

/// <summary>Detects lost ranks: those that are silent, and those that are stuck while the others wait for them.</summary>
/// <remarks>
/// Rank 0 monitors all others, and they monitor rank 0: two messages per rank and second. A heartbeat carries the number of sums that a rank has
/// requested. All ranks request the same sums, so a rank whose count stays below another's for longer than the timeout blocks the job. This also
/// finds a process that still sends heartbeats while its work hangs. The final barrier counts as one more sum of every rank but rank 0, which may have
/// long work of its own before it. The class is pure: the caller passes the time.
/// </remarks>
internal sealed class Liveness
{
    private readonly TimeSpan timeout;
    private readonly int[] peers;
    private readonly long[] requested;
    private readonly TimeSpan[] lastSeen;
    private readonly int rank;
    private TimeSpan highestSince;
    private TimeSpan lastCheck;

    /// <summary>Starts with all ranks alive.</summary>
    public Liveness(int size, int rank, TimeSpan timeout, TimeSpan now)
    {
        (this.rank, this.timeout) = (rank, timeout);
        peers = rank == 0 ? [.. Enumerable.Range(1, size - 1)] : [0];
        requested = new long[size];
        lastSeen = new TimeSpan[size];
        Reset(now);
    }

    /// <summary>The ranks that this rank monitors and sends heartbeats to.</summary>
    public IReadOnlyList<int> Peers => peers;

    /// <summary>What heartbeats say: the number of sums that this rank has requested, and one more in the final barrier.</summary>
    public long Announced { get; private set; }

    /// <summary>Records how many sums a rank has requested, for a peer from its heartbeat.</summary>
    public void Record(int from, long count, TimeSpan now)
    {
        lastSeen[from] = now;
        if (count > requested.Max()) highestSince = now;
        requested[from] = count;
    }

    /// <summary>Records how many sums this rank has requested, and whether it is in the final barrier.</summary>
    public void RecordOwn(long count, bool isEnding, TimeSpan now)
    {
        Announced = isEnding ? count + 1 : count;
        Record(rank, rank == 0 ? Announced : count, now);
    }

    /// <summary>The peers that have been silent or lagging for longer than the timeout.</summary>
    /// <remarks>Call it several times per timeout. A pause of more than half the timeout between calls means that this process itself was suspended,
    /// so its knowledge of the others is stale and is discarded.</remarks>
    public int[] Missing(TimeSpan now)
    {
        if (now - lastCheck > timeout / 2) Reset(now);
        lastCheck = now;
        var highest = requested.Max();
        var isStuck = now - highestSince > timeout;
        return [.. peers.Where(peer => now - lastSeen[peer] > timeout || (isStuck && requested[peer] < highest))];
    }

    private void Reset(TimeSpan now)
    {
        Array.Fill(lastSeen, now);
        (highestSince, lastCheck) = (now, now);
    }
}
