namespace NormFree.Inference.Plans;

/// <summary>Images of a run and where their logits go, in memory of the caller's.</summary>
/// <param name="plan">How they run.</param>
/// <param name="count">How many images.</param>
/// <param name="images">Planar images, one after the other.</param>
/// <param name="classes">Logits of an image.</param>
/// <param name="logits">count × classes.</param>
internal readonly unsafe struct ImageBatch(Plan plan, int count, float* images, int classes, float* logits)
{
    /// <summary>How they run.</summary>
    public Plan Plan => plan;

    /// <summary>How many images.</summary>
    public int Count => count;

    /// <summary>The frame of an image.</summary>
    public Frame Frame(int image, Arena arena)
    {
        var size = plan.Input.Size;
        return arena.Frame(images + (long)image * size.Channels * size.Height * size.Width, logits + (long)image * classes);
    }

    /// <summary>Runs one image on the calling thread.</summary>
    public void Run(int image, Arena arena)
    {
        var frame = Frame(image, arena);
        foreach (var step in plan.Steps)
            for (var task = 0; task < step.Tasks; task++) step.Run(task, frame);
    }
}
