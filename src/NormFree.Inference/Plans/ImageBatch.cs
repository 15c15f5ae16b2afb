namespace NormFree.Inference.Plans;

/// <summary>The images and logits of a run, in the caller's memory.</summary>
/// <param name="plan">Their plan.</param>
/// <param name="count">Number of images.</param>
/// <param name="images">Planar images, consecutively.</param>
/// <param name="classes">Logits per image.</param>
/// <param name="logits">count × classes.</param>
/// <param name="cancellation">Ends the run early.</param>
internal readonly unsafe struct ImageBatch(Plan plan, int count, float* images, int classes, float* logits, CancellationToken cancellation)
{
    /// <summary>The plan of the images.</summary>
    public Plan Plan => plan;

    /// <summary>Number of images.</summary>
    public int Count => count;

    /// <summary>The frame of an image.</summary>
    public Frame Frame(int image, Arena arena)
    {
        var size = plan.Input.Size;
        return arena.Frame(images + (long)image * size.Channels * size.Height * size.Width, logits + (long)image * classes);
    }

    /// <summary>Runs one image on the calling thread.</summary>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public void Run(int image, Arena arena)
    {
        var frame = Frame(image, arena);
        foreach (var step in plan.Steps)
            for (var task = 0; task < step.Tasks; task++) Run(step, task, frame);
    }

    /// <summary>Runs one task.</summary>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public void Run(Step step, int task, in Frame frame)
    {
        cancellation.ThrowIfCancellationRequested();
        step.Run(task, frame);
    }
}
