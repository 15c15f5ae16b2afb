using NormFree.Kernels.Convolutions;

namespace NormFree.Inference.Plans;

/// <summary>Cuts a binary layer's output into tasks: blocks of filters × pieces of pixels.</summary>
/// <remarks>
/// Blocks are the outer loop: a thread that begins at its share of the tasks reads few filters, and writes the channels that it will read as the next
/// layer's shortcut.
/// </remarks>
internal static class RangeCut
{
    /// <summary>Counts of a task, in bytes: convolution and epilogue pass them through the first-level cache.</summary>
    private const int CountBytes = 32 << 10;

    /// <summary>Pixels come in such pieces where there are enough, since kernels compute up to eight at once.</summary>
    private const int PixelMultiple = 8;

    private const int TasksOfThread = 4;

    /// <summary>Cuts.</summary>
    /// <param name="pixels">Pixels of the output.</param>
    /// <param name="blocks">The first filter of each block, and the number of filters.</param>
    /// <param name="threads">How many threads share the tasks.</param>
    public static OutputRange[] Of(int pixels, ReadOnlySpan<int> blocks, int threads)
    {
        var ranges = new List<OutputRange>();
        for (var block = 0; block < blocks.Length - 1; block++)
        {
            var (first, filters) = (blocks[block], blocks[block + 1] - blocks[block]);
            var piece = Piece(pixels, filters, blocks.Length - 1, threads);
            for (var pixel = 0; pixel < pixels; pixel += piece) ranges.Add(new OutputRange(pixel, Math.Min(piece, pixels - pixel), first, filters));
        }
        return [.. ranges];
    }

    private static int Piece(int pixels, int filters, int blocks, int threads)
    {
        var most = Math.Max(PixelMultiple, CountBytes / sizeof(int) / filters);
        var pieces = threads == 1 ? 1 : (threads * TasksOfThread + blocks - 1) / blocks;
        var shared = (pixels + pieces - 1) / pieces;
        return Math.Max(PixelMultiple, Math.Min(most, shared) / PixelMultiple * PixelMultiple);
    }
}
