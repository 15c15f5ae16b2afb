namespace NormFree.Kernels.Threads;

/// <summary>Threads that kernels run on. Who calls a kernel owns them: libtorch's pool in training, the caller's choice in inference.</summary>
public interface IWorkers
{
    /// <summary>Runs <c>task(i)</c> for every i from 0 to count − 1, in any order, and returns when all have ended.</summary>
    /// <remarks>
    /// Who runs a task is left to chance: whatever a task adds up, it adds up by itself, so that results depend on neither threads nor their timing.
    /// </remarks>
    /// <exception cref="AggregateException">A task has thrown.</exception>
    void Run(int count, Action<int> task);
}

/// <summary>The calling thread alone.</summary>
public sealed class OneThread : IWorkers
{
    /// <summary>The only one needed.</summary>
    public static OneThread Instance { get; } = new();

    private OneThread()
    {
    }

    /// <inheritdoc/>
    public void Run(int count, Action<int> task)
    {
        for (var i = 0; i < count; i++) task(i);
    }
}
