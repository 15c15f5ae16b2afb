namespace NormFree.Inference.Threads;

/// <summary>The threads of one network. They sleep between runs; the caller of a run is member 0.</summary>
/// <remarks>The threads keep the team alive, but not the network, which stops them when it is disposed or finalised.</remarks>
internal sealed class WorkerTeam : IDisposable
{
    private readonly Gate start = new();
    private readonly Action<int> work;
    private readonly List<Thread> workers = [];
    private int claimed;
    private volatile bool stopped;

    /// <summary>Starts the threads, which wait for the first run.</summary>
    /// <param name="members">Members, the caller included.</param>
    /// <param name="work">A member's part of a run. It must not throw, and must not return before all members have finished.</param>
    public WorkerTeam(int members, Action<int> work)
    {
        this.work = work;
        try
        {
            for (var member = 1; member < members; member++) workers.Add(Start(member));
        }
        catch
        {
            Stop();
            throw;
        }
    }

    /// <summary>Claims the team for the caller until <see cref="Release"/>; false if another caller has it.</summary>
    public bool TryClaim() => Interlocked.CompareExchange(ref claimed, 1, 0) == 0;

    /// <summary>Ends a claim.</summary>
    public void Release() => Volatile.Write(ref claimed, 0);

    /// <summary>Runs the work on all members.</summary>
    public void Run()
    {
        start.Open();
        work(0);
    }

    /// <summary>Tells the threads to end, without waiting for them. No run may be in progress.</summary>
    public void Stop()
    {
        stopped = true;
        start.Open();
    }

    /// <summary>Ends the threads. No run may be in progress.</summary>
    public void Dispose()
    {
        Stop();
        foreach (var worker in workers) worker.Join();
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
            if (stopped) return;
            work(member);
        }
    }
}
