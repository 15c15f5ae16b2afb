namespace NormFree.Kernels.Threads;

/// <summary>The calling thread alone.</summary>
public sealed class OneThread : IWorkers
{
    /// <summary>The only one needed.</summary>
    public static OneThread Instance { get; } = new();

    private OneThread()
    {
    }

    /// <inheritdoc/>
    public int Threads => 1;

    /// <inheritdoc/>
    public void Run(int count, Action<int> task)
    {
        for (var i = 0; i < count; i++) task(i);
    }
}
