using System.Diagnostics;

namespace NormFree.Inference.Threads;

/// <summary>Counts how often it was opened. Threads wait for the next opening: they spin briefly, then sleep.</summary>
/// <remarks>
/// <see cref="Thread.Interrupt"/> does not end a wait, as other threads work in the memory of the same run. The thread is interrupted at its next wait
/// elsewhere instead.
/// </remarks>
internal sealed class Gate
{
    /// <summary>100 µs: longer than most steps of a small network, too short to load an idle machine.</summary>
    private static readonly long SpinTicks = Environment.ProcessorCount == 1 ? 0 : Stopwatch.Frequency / 10_000;

    private const int SpinsPerYield = 32;

    private readonly object sleep = new();
    private int opened;
    private int sleepers;

    /// <summary>Releases all threads that wait for this opening.</summary>
    public void Open()
    {
        // A sleeper increments sleepers before it reads opened, and this thread does the opposite: one of them sees the other.
        Interlocked.Increment(ref opened);
        if (Volatile.Read(ref sleepers) == 0) return;
        var interrupted = false;
        while (!WakeAll()) interrupted = true;
        if (interrupted) Thread.CurrentThread.Interrupt();
    }

    /// <summary>Waits until it has been opened more than <paramref name="times"/> times.</summary>
    public void Wait(int times)
    {
        if (Spin(times)) return;
        var interrupted = false;
        while (!Sleep(times)) interrupted = true;
        if (interrupted) Thread.CurrentThread.Interrupt();
    }

    private bool Spin(int times)
    {
        var start = Stopwatch.GetTimestamp();
        do
        {
            for (var spin = 0; spin < SpinsPerYield; spin++)
            {
                if (Volatile.Read(ref opened) != times) return true;
                Thread.SpinWait(1);
            }
            Thread.Yield(); // the awaited thread may need this processor
        }
        while (Stopwatch.GetTimestamp() - start < SpinTicks);
        return false;
    }

    /// <returns>False if the thread was interrupted.</returns>
    private bool WakeAll()
    {
        try
        {
            lock (sleep) Monitor.PulseAll(sleep);
            return true;
        }
        catch (ThreadInterruptedException)
        {
            return false;
        }
    }

    /// <returns>False if the thread was interrupted.</returns>
    private bool Sleep(int times)
    {
        Interlocked.Increment(ref sleepers);
        try
        {
            lock (sleep)
                while (Volatile.Read(ref opened) == times) Monitor.Wait(sleep);
            return true;
        }
        catch (ThreadInterruptedException)
        {
            return false;
        }
        finally
        {
            Interlocked.Decrement(ref sleepers);
        }
    }
}
