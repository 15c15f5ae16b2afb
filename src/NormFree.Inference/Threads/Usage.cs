namespace NormFree.Inference.Threads;

/// <summary>Counts who uses something, so that it is freed when nobody does.</summary>
internal sealed class Usage
{
    private readonly object gate = new();
    private int users;
    private bool ended;

    /// <summary>Begins a use.</summary>
    /// <exception cref="ObjectDisposedException">It has ended.</exception>
    public void Enter(object owner)
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(ended, owner);
            users++;
        }
    }

    /// <summary>Ends a use.</summary>
    public void Leave()
    {
        lock (gate)
            if (--users == 0) Monitor.PulseAll(gate);
    }

    /// <summary>Lets nobody in any more, and waits until all have left.</summary>
    /// <returns>Whether this was the first call.</returns>
    public bool End()
    {
        lock (gate)
        {
            var first = !ended;
            ended = true;
            while (users > 0) Monitor.Wait(gate);
            return first;
        }
    }
}
