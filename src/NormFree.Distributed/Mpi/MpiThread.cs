using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using NormFree.Platform;

namespace NormFree.Distributed.Mpi;

/// <summary>The thread that makes all MPI calls: it starts requested sums, polls them, and monitors the other ranks.</summary>
internal sealed class MpiThread
{
    /// <summary>How often the thread polls open sums without success before it sleeps, and for how long it then sleeps.</summary>
    private const int MaxSpins = 200, PauseMicroseconds = 20;

    /// <summary>Polling interval without open sums. It is shorter right after a sum, because MPI may still have data to send.</summary>
    private static readonly TimeSpan IdleInterval = TimeSpan.FromMilliseconds(50), BusyInterval = TimeSpan.FromMilliseconds(1);

    /// <summary>Startup may take this many times the timeout: processes may load from slow disks.</summary>
    private const int StartupTimeoutFactor = 10;

    private readonly MpiLibrary library;
    private readonly int processes;
    private readonly TimeSpan timeout;
    private readonly Action<string> onLost;
    private readonly ConcurrentQueue<MpiSum> requests = [];
    private MpiSum? finalSum;
    private readonly List<MpiSum> open = [];
    private readonly SemaphoreSlim wake = new(0);
    private readonly TaskCompletionSource started = new();
    private readonly Thread thread;
    private readonly long startTime = Stopwatch.GetTimestamp();
    private long requested;
    private volatile DistributedException? failure;
    private volatile bool ending;
    private volatile int abortCode = -1;

    private MpiThread(MpiLibrary library, int processes, TimeSpan timeout, Action<string> onLost)
    {
        (this.library, this.processes, this.timeout, this.onLost) = (library, processes, timeout, onLost);
        thread = new Thread(Run) { IsBackground = true, Name = "nf-mpi" };
    }

    /// <summary>The number of ranks.</summary>
    public int Size { get; private set; }

    /// <summary>The index of this rank.</summary>
    public int Rank { get; private set; }

    /// <summary>The display name of a rank.</summary>
    public Func<int, string> NameOf { private get; set; } = rank => $"rank {rank}";

    /// <summary>Initialises MPI on a new thread.</summary>
    /// <exception cref="DistributedException">MPI failed, not all processes started, or MPI and the launcher disagree about their number.</exception>
    public static MpiThread Start(MpiLibrary library, int processes, TimeSpan timeout, Action<string> onLost)
    {
        var mpi = new MpiThread(library, processes, timeout, onLost);
        mpi.thread.Start();
        // MPI_Init waits for all processes, and heartbeats start only after it.
        var limit = StartupTimeoutFactor * timeout;
        if (Task.WaitAny([mpi.started.Task], limit) < 0)
            throw new DistributedException(
                $"Not all {processes} processes started within {limit.TotalSeconds:0} s: one of them hangs, its node is down, or the network is down.");
        mpi.started.Task.GetAwaiter().GetResult();
        return mpi;
    }

    /// <summary>Requests a sum.</summary>
    public MpiSum Post(MpiSum sum)
    {
        Interlocked.Increment(ref requested);
        return Enqueue(sum);
    }

    /// <inheritdoc cref="IRanks.TryFinalBarrier"/>
    /// <remarks>
    /// The statuses travel as a sum in which each rank fills its own position. The sum has a communicator of its own, because after a failure other
    /// ranks may be waiting for ordinary sums.
    /// </remarks>
    public unsafe long[]? TryFinalBarrier(long status, TimeSpan wait)
    {
        var buffer = (double*)NativeMemory.AllocZeroed((nuint)Size * 2, sizeof(double)); // leaked if the sum never completes: MPI may still write to it
        buffer[Rank] = status;
        finalSum = new MpiSum((nint)buffer, (nint)(buffer + Size), Size, NumberType.Float64);
        if (!Enqueue(finalSum).TryWait(wait)) return null;
        var statuses = new long[Size];
        for (var rank = 0; rank < Size; rank++) statuses[rank] = (long)buffer[Size + rank];
        NativeMemory.Free(buffer);
        return statuses;
    }

    /// <summary>Shuts MPI down, which waits for all ranks.</summary>
    /// <exception cref="DistributedException">MPI failed now or earlier.</exception>
    public void End()
    {
        ending = true;
        wake.Release();
        thread.Join();
        if (failure is { } error) throw error;
    }

    /// <summary>Kills all ranks.</summary>
    public void Abort(int code)
    {
        abortCode = code;
        wake.Release();
        thread.Join();
    }

    private MpiSum Enqueue(MpiSum sum)
    {
        requests.Enqueue(sum);
        wake.Release();
        // The thread may have stopped meanwhile and would never dequeue the sum.
        if (failure is { } error) sum.Fail(error);
        return sum;
    }

    private TimeSpan Now => Stopwatch.GetElapsedTime(startTime);

    private void Run()
    {
        try
        {
            var mpi = Initialise();
            var liveness = new Liveness(Size, Rank, timeout, Now);
            using (var heartbeats = new Heartbeats(mpi, liveness, TimeSpan.FromSeconds(Math.Min(1, timeout.TotalSeconds / 5))))
            {
                var (sums, finalSums) = (mpi.NewCommunicator(), mpi.NewCommunicator());
                started.SetResult();
                Poll(mpi, sum => sum == finalSum ? finalSums : sums, liveness, heartbeats);
            }
            if (abortCode >= 0) mpi.Abort(abortCode);
            else mpi.Shutdown();
        }
        catch (DistributedException error)
        {
            Fail(error);
        }
    }

    private MpiCalls Initialise()
    {
        var mpi = new MpiCalls(library);
        mpi.Init();
        (Size, Rank) = mpi.SizeAndRank();
        if (Size != processes)
            throw new DistributedException(
                $"The launcher started {processes} processes, but Open MPI sees {Size}: the launcher belongs to another MPI. Use Open MPI's mpirun "
                + "(Debian: mpirun.openmpi), or srun --mpi=pmix.");
        return mpi;
    }

    private void Poll(MpiCalls mpi, Func<MpiSum, nint> communicator, Liveness liveness, Heartbeats heartbeats)
    {
        var (spins, lastWork) = (0, Now);
        while (!ending && abortCode < 0)
        {
            if (Advance(mpi, communicator)) (spins, lastWork) = (0, Now);
            Monitor(liveness, heartbeats);
            if (open.Count == 0) wake.Wait(Now - lastWork < IdleInterval ? BusyInterval : IdleInterval);
            else if (++spins < MaxSpins) Thread.Yield();
            else ProcessControl.Sleep(PauseMicroseconds);
        }
    }

    /// <summary>Starts the requested sums and completes the finished ones; whether there were any.</summary>
    private bool Advance(MpiCalls mpi, Func<MpiSum, nint> communicator)
    {
        var hasStarted = false;
        while (requests.TryDequeue(out var sum))
        {
            open.Add(sum);
            sum.Start(mpi, communicator(sum));
            hasStarted = true;
        }
        return open.RemoveAll(sum => sum.IsDone(mpi)) > 0 || hasStarted;
    }

    /// <summary>Aborts the job if a rank is lost.</summary>
    private void Monitor(Liveness liveness, Heartbeats heartbeats)
    {
        var now = Now;
        heartbeats.Exchange(now);
        liveness.RecordOwn(Interlocked.Read(ref requested), Volatile.Read(ref finalSum) is not null, now);
        if (liveness.Missing(now) is not { Length: > 0 } missing) return;
        var names = string.Join(", ", missing.Select(NameOf));
        onLost($"{names} has made no progress for {timeout.TotalSeconds:0} s: the process hangs, its node is down, or the network "
            + "is down. The job is aborted; checkpoints are intact.");
        abortCode = 1;
    }

    /// <summary>Makes every waiting thread throw.</summary>
    private void Fail(DistributedException error)
    {
        if (started.TrySetException(error)) return;
        failure = error;
        while (requests.TryDequeue(out var sum)) open.Add(sum);
        foreach (var sum in open) sum.Fail(error);
    }
}
