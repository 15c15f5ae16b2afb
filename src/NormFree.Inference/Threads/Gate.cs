using System.Diagnostics;

namespace NormFree.Inference.Threads;

/// <summary>Lets threads wait until it has been opened once more: they spin for a moment, then sleep.</summary>
/// <remarks>
/// A thread that somebody interrupts goes on all the same, since others work in memory of its run, and is interrupted at its next wait elsewhere.
/// </remarks>
internal sealed class Gate
{
    /// <summary>Longer than most steps of a small network, shorter than anybody notices on an idle machine.</summary>
    private static readonly long SpinTicks = Environment.ProcessorCount == 1 ? 0 : Stopwatch.Frequency / 10_000;

    private const int SpinsBetweenLooks = 32;

    private readonly object sleep = new();
    private int opened;
    private int sleepers;

    /// <summary>Lets all pass that wait for this time.</summary>
    public void Open()
    {
        // A sleeper announces itself before it looks at the count; after this one of both sides sees the other.
        Interlocked.Increment(ref opened);
        if (Volatile.Read(ref sleepers) == 0) return;
        var interrupted = false;
        while (!WakeAll()) interrupted = true;
        if (interrupted) Thread.CurrentThread.Interrupt();
    }

    /// <summary>Waits until it has been opened more than so often.</summary>
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
            for (var spin = 0; spin < SpinsBetweenLooks; spin++)
            {
                if (Volatile.Read(ref opened) != times) return true;
                Thread.SpinWait(1);
            }
            Thread.Yield(); // whoever is waited for may wait for this processor
        }
        while (Stopwatch.GetTimestamp() - start < SpinTicks);
        return false;
    }

    /// <returns>False where the thread was interrupted.</returns>
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

    /// <returns>False where the thread was interrupted.</returns>
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
