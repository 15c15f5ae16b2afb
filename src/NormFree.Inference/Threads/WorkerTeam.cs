namespace NormFree.Inference.Threads;

/// <summary>Threads of a network's own, which sleep between runs. The caller of a run is the first member.</summary>
internal sealed class WorkerTeam : IDisposable
{
    private readonly Gate start = new();
    private readonly ITeamWork work;
    private readonly Thread[] others;
    private int claimed;
    private volatile bool ended;

    /// <summary>Starts the other members, which wait.</summary>
    public WorkerTeam(int members, ITeamWork work)
    {
        this.work = work;
        others = [.. Enumerable.Range(1, members - 1).Select(Start)];
    }

    /// <summary>Whether the team was free, and is the caller's now until it calls <see cref="Release"/>.</summary>
    public bool TryClaim() => Interlocked.CompareExchange(ref claimed, 1, 0) == 0;

    /// <summary>The team is free again.</summary>
    public void Release() => Volatile.Write(ref claimed, 0);

    /// <summary>Lets all members work; the work itself makes them wait for one another before this returns.</summary>
    public void Run()
    {
        start.Open();
        work.Run(0);
    }

    /// <summary>Ends the threads; no run may go on.</summary>
    public void Dispose()
    {
        ended = true;
        start.Open();
        foreach (var thread in others) thread.Join();
    }

    private Thread Start(int member)
    {
        var thread = new Thread(() => Loop(member)) { IsBackground = true, Name = $"nf-packed-{member}" };
        thread.Start();
        return thread;
    }

    private void Loop(int member)
    {
        for (var runs = 0; ; runs++)
        {
            start.Wait(runs);
            if (ended) return;
            work.Run(member);
        }
    }
}
