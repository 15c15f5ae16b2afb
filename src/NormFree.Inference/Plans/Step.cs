namespace NormFree.Inference.Plans;

/// <summary>A part of a run whose tasks can be done in any order, at once, by any thread; the next step waits for all of them.</summary>
/// <param name="tasks">How many tasks there are.</param>
internal abstract class Step(int tasks)
{
    /// <summary>How many tasks there are.</summary>
    public int Tasks => tasks;

    /// <summary>Does one of them.</summary>
    public abstract void Run(int task, in Frame frame);

    /// <summary>Scratch to ask for, for so many pieces with so many bytes in all.</summary>
    protected static long Bytes(int pieces, long bytes) => bytes + 64L * pieces;
}
