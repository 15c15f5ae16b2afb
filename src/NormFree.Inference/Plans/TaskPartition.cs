using NormFree.Inference.Model;
using NormFree.Kernels.Convolutions;

namespace NormFree.Inference.Plans;

/// <summary>Divides the rows of a map into tasks of equal size.</summary>
/// <param name="Rows">Rows of the map.</param>
/// <param name="RowsPerTask">Rows of a task; the last task may have fewer.</param>
internal readonly record struct RowPartition(int Rows, int RowsPerTask)
{
    /// <summary>Tasks per thread if there are enough rows: other threads take over the tasks of a late one.</summary>
    private const int TasksPerThread = 4;

    /// <summary>Size of a task's output: it should stay in the second-level cache until it is read.</summary>
    private const int BytesPerTask = 64 << 10;

    /// <summary>Number of tasks.</summary>
    public int Tasks => (Rows + RowsPerTask - 1) / RowsPerTask;

    /// <summary>Partitions into tasks of at most <paramref name="maxRows"/> rows.</summary>
    public static RowPartition Of(int rows, long maxRows, int threads)
    {
        var tasks = threads == 1 ? 1 : threads * TasksPerThread;
        return new RowPartition(rows, (int)Math.Clamp(Math.Min(maxRows, (rows + tasks - 1) / tasks), 1, rows));
    }

    /// <summary>Partitions an output map by its size in bytes.</summary>
    public static RowPartition Of(MapSize output, int threads) =>
        Of(output.Height, BytesPerTask / ((long)output.Width * output.Channels * sizeof(float)), threads);

    /// <summary>The rows of a task.</summary>
    public (int First, int Count) this[int task] => (task * RowsPerTask, Math.Min(RowsPerTask, Rows - task * RowsPerTask));
}

/// <summary>Divides the output of a binary layer into tasks: ranges of pixels × blocks of filters.</summary>
/// <remarks>
/// Pixels are the outer loop: a thread that starts at its share of the tasks reads the pixels that it wrote in the previous layer. On two cores that
/// matters more than reading few filters.
/// </remarks>
internal static class RangePartition
{
    /// <summary>Size of a task's counts: they stay in the first-level cache from the convolution to the epilogue.</summary>
    private const int CountBytes = 32 << 10;

    /// <summary>Pixels per task are a multiple of this, as kernels compute up to eight pixels at once.</summary>
    private const int PixelMultiple = 8;

    /// <summary>Tasks per thread if there are enough pixels: other threads take over the tasks of a late one.</summary>
    private const int TasksPerThread = 4;

    /// <summary>Partitions an output.</summary>
    /// <param name="pixels">Pixels of the output.</param>
    /// <param name="blocks">The first filter of each block, then the number of filters.</param>
    /// <param name="threads">Threads that share the tasks.</param>
    public static OutputRange[] Of(int pixels, ReadOnlySpan<int> blocks, int threads)
    {
        var pixelsPerTask = PixelsPerTask(pixels, blocks, threads);
        var ranges = new List<OutputRange>();
        for (var pixel = 0; pixel < pixels; pixel += pixelsPerTask)
            for (var block = 0; block < blocks.Length - 1; block++)
                ranges.Add(new OutputRange(pixel, Math.Min(pixelsPerTask, pixels - pixel), blocks[block], blocks[block + 1] - blocks[block]));
        return [.. ranges];
    }

    private static int PixelsPerTask(int pixels, ReadOnlySpan<int> blocks, int threads)
    {
        var filters = 0;
        for (var block = 0; block < blocks.Length - 1; block++) filters = Math.Max(filters, blocks[block + 1] - blocks[block]);
        var max = CountBytes / sizeof(int) / filters;
        var ranges = threads == 1 ? 1 : (threads * TasksPerThread + blocks.Length - 2) / (blocks.Length - 1);
        var share = (pixels + ranges - 1) / ranges;
        return Math.Max(PixelMultiple, Math.Min(max, share) / PixelMultiple * PixelMultiple);
    }
}
