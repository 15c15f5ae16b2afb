namespace NormFree.Kernels.Threads;

/// <summary>Threads that kernels run on, chosen by the caller of a kernel: libtorch's thread pool in training.</summary>
public interface IWorkers
{
    /// <summary>Runs <c>task(i)</c> for every i from 0 to count − 1, in any order, and returns when all have finished.</summary>
    /// <remarks>Tasks must not depend on which thread runs them or when. Each task writes its own results, so that results are reproducible.</remarks>
    /// <exception cref="AggregateException">A task threw an exception.</exception>
    void Run(int count, Action<int> task);
}

/// <summary>Runs tasks on the calling thread.</summary>
public sealed class OneThread : IWorkers
{
    /// <summary>The singleton.</summary>
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
