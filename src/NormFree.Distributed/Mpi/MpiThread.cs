using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace NormFree.Distributed.Mpi;

/// <summary>The thread that calls MPI: it begins the sums that others ask for, gives MPI the time to work on them, and watches who is there.</summary>
internal sealed class MpiThread
{
    /// <summary>Looks without a result before the thread leaves its processor to others, and how long it does so.</summary>
    private const int Spins = 200, PauseMicroseconds = 20;

    /// <summary>Without work it looks after messages that often; right after work more often, for MPI may have kept some of it back.</summary>
    private static readonly TimeSpan Idle = TimeSpan.FromMilliseconds(50), Restless = TimeSpan.FromMilliseconds(1);

    /// <summary>Processes may take that many times as long to start as they may be missing later: their files come from slow disks.</summary>
    private const int StartPatience = 10;

    private readonly MpiLibrary library;
    private readonly int processes;
    private readonly TimeSpan patience;
    private readonly Action<string> lost;
    private readonly ConcurrentQueue<MpiSum> asked = [];
    private MpiSum? farewell;
    private readonly List<MpiSum> working = [];
    private readonly SemaphoreSlim wake = new(0);
    private readonly TaskCompletionSource started = new();
    private readonly Thread thread;
    private readonly long begin = Stopwatch.GetTimestamp();
    private long count;
    private volatile DistributedException? failed;
    private volatile bool ending;
    private volatile int abortCode = -1;

    private MpiThread(MpiLibrary library, int processes, TimeSpan patience, Action<string> lost)
    {
        (this.library, this.processes, this.patience, this.lost) = (library, processes, patience, lost);
        thread = new Thread(Run) { IsBackground = true, Name = "nf-mpi" };
    }

    /// <summary>How many ranks there are.</summary>
    public int Size { get; private set; }

    /// <summary>Which one this is.</summary>
    public int Rank { get; private set; }

    /// <summary>How messages call a rank.</summary>
    public Func<int, string> NameOf { private get; set; } = rank => $"rank {rank}";

    /// <summary>Starts MPI. Throws where that fails, where not all processes come, or where MPI knows of another number of them than the launcher.</summary>
    public static MpiThread Start(MpiLibrary library, int processes, TimeSpan patience, Action<string> lost)
    {
        var made = new MpiThread(library, processes, patience, lost);
        made.thread.Start();
        // MPI's start waits for all, and nobody watches anybody before it.
        if (Task.WaitAny([made.started.Task], StartPatience * patience) < 0)
            throw new DistributedException(
                $"Not all {processes} processes have started within {(StartPatience * patience).TotalSeconds:0} s: one of them hangs, its node is down, or the "
                + "network between them is.");
        made.started.Task.GetAwaiter().GetResult();
        return made;
    }

    /// <summary>Asks for a sum.</summary>
    public MpiSum Post(MpiSum sum)
    {
        Interlocked.Increment(ref count);
        return Enqueue(sum);
    }

    /// <summary>The words of all ranks when they have come here; null where they have not in that time. Throws where MPI fails.</summary>
    /// <remarks>
    /// It is a sum apart from the others, which ranks that do not leave may wait for, and does not count as one that others are waited for with: the
    /// first rank may have work of its own at the end. A word stands where all other ranks have 0.
    /// </remarks>
    public unsafe long[]? TryFinalBarrier(long word, TimeSpan wait)
    {
        var numbers = (double*)NativeMemory.AllocZeroed((nuint)Size * 2, sizeof(double)); // kept where the sum never comes, or fails
        numbers[Rank] = word;
        farewell = new MpiSum((nint)numbers, (nint)(numbers + Size), Size, NumberType.Float64);
        if (!Enqueue(farewell).TryWait(wait)) return null;
        var words = new long[Size];
        for (var rank = 0; rank < Size; rank++) words[rank] = (long)numbers[Size + rank];
        NativeMemory.Free(numbers);
        return words;
    }

    /// <summary>Ends MPI, whose end waits for all ranks. Throws where that fails, or MPI has failed before.</summary>
    public void End()
    {
        ending = true;
        wake.Release();
        thread.Join();
        if (failed is { } failure) throw failure;
    }

    /// <summary>Ends all ranks.</summary>
    public void Abort(int code)
    {
        abortCode = code;
        wake.Release();
        thread.Join();
    }

    private MpiSum Enqueue(MpiSum sum)
    {
        asked.Enqueue(sum);
        wake.Release();
        // The thread may have ended meanwhile, and nobody would take it from the queue.
        if (failed is { } failure) sum.Fail(failure);
        return sum;
    }

    private TimeSpan Now => Stopwatch.GetElapsedTime(begin);

    private void Run()
    {
        try
        {
            var mpi = Begin();
            var liveness = new Liveness(Size, Rank, patience, Now);
            using (var heartbeats = new Heartbeats(mpi, liveness, TimeSpan.FromSeconds(Math.Min(1, patience.TotalSeconds / 5))))
            {
                var (sums, farewells) = (mpi.NewCommunicator(), mpi.NewCommunicator());
                started.SetResult();
                Work(mpi, sum => sum == farewell ? farewells : sums, liveness, heartbeats);
            }
            if (abortCode >= 0) mpi.Abort(abortCode);
            else mpi.End();
        }
        catch (DistributedException failure)
        {
            Fail(failure);
        }
    }

    private MpiCalls Begin()
    {
        var mpi = new MpiCalls(library);
        mpi.Init();
        (Size, Rank) = mpi.Place();
        if (Size != processes)
            throw new DistributedException(
                $"The launcher has started {processes} processes, Open MPI knows of {Size}: the launcher is another MPI's. Use Open MPI's mpirun "
                + "(Debian: mpirun.openmpi), or srun --mpi=pmix.");
        return mpi;
    }

    private void Work(MpiCalls mpi, Func<MpiSum, nint> communicator, Liveness liveness, Heartbeats heartbeats)
    {
        var (spins, lastWork) = (0, Now);
        while (!ending && abortCode < 0)
        {
            if (Advance(mpi, communicator)) (spins, lastWork) = (0, Now);
            Watch(liveness, heartbeats);
            if (working.Count == 0) wake.Wait(Now - lastWork < Idle ? Restless : Idle);
            else if (++spins < Spins) Thread.Yield();
            else Pause();
        }
    }

    /// <summary>Begins what is asked for, and ends what is done; whether there was anything of either.</summary>
    private bool Advance(MpiCalls mpi, Func<MpiSum, nint> communicator)
    {
        var begun = false;
        while (asked.TryDequeue(out var sum))
        {
            working.Add(sum);
            sum.Start(mpi, communicator(sum));
            begun = true;
        }
        return working.RemoveAll(sum => sum.IsDone(mpi)) > 0 || begun;
    }

    /// <summary>Ends the job where a rank is missing.</summary>
    private void Watch(Liveness liveness, Heartbeats heartbeats)
    {
        var now = Now;
        heartbeats.Exchange(now);
        liveness.Heard(Rank, Interlocked.Read(ref count), now);
        if (liveness.Missing(now) is not { Length: > 0 } missing) return;
        var who = string.Join(", ", missing.Select(NameOf));
        lost($"{who} has not come where the others wait for it, or is silent, for {patience.TotalSeconds:0} s: the process hangs, its node is down, or the "
            + "network between them is. The job ends; checkpoints are intact.");
        abortCode = 1;
    }

    /// <summary>Whoever waits is told why it waits in vain.</summary>
    private void Fail(DistributedException failure)
    {
        if (started.TrySetException(failure)) return;
        failed = failure;
        while (asked.TryDequeue(out var sum)) working.Add(sum);
        foreach (var sum in working) sum.Fail(failure);
    }

    private static void Pause() => _ = SleepMicroseconds(PauseMicroseconds);

    [DllImport("libc", EntryPoint = "usleep")]
    private static extern int SleepMicroseconds(int time);
}
