namespace NormFree.Inference.Threads;

/// <summary>Counts the users of an object, so that disposing of it waits for them.</summary>
internal sealed class Usage
{
    private readonly object gate = new();
    private int users;
    private bool ended;

    /// <summary>Adds a user.</summary>
    /// <exception cref="ObjectDisposedException"><see cref="End"/> was called.</exception>
    public void Enter(object owner)
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(ended, owner);
            users++;
        }
    }

    /// <summary>Removes a user.</summary>
    public void Leave()
    {
        lock (gate)
            if (--users == 0) Monitor.PulseAll(gate);
    }

    /// <summary>Admits no further users and waits until all have left.</summary>
    /// <returns>True for the first call.</returns>
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
