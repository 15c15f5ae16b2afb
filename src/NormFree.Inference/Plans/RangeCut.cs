using NormFree.Kernels.Convolutions;

namespace NormFree.Inference.Plans;

/// <summary>Cuts a binary layer's output into tasks: pieces of pixels × blocks of filters.</summary>
/// <remarks>
/// Pieces are the outer loop: a thread that begins at its share of the tasks reads the pixels that it wrote in the layer before. On two cores that
/// mattered more than reading few filters.
/// </remarks>
internal static class RangeCut
{
    /// <summary>Counts of a task, in bytes: from the convolution to the epilogue they stay in the first-level cache.</summary>
    private const int CountBytes = 32 << 10;

    /// <summary>Pixels come in such pieces where there are enough, since kernels compute up to eight at once.</summary>
    private const int PixelMultiple = 8;

    /// <summary>Tasks for each thread, where there are pixels enough: what one finishes late, others make up for.</summary>
    private const int TasksOfThread = 4;

    /// <summary>Cuts.</summary>
    /// <param name="pixels">Pixels of the output.</param>
    /// <param name="blocks">The first filter of each block, and the number of filters.</param>
    /// <param name="threads">How many threads share the tasks.</param>
    public static OutputRange[] Of(int pixels, ReadOnlySpan<int> blocks, int threads)
    {
        var piece = Piece(pixels, blocks, threads);
        var ranges = new List<OutputRange>();
        for (var pixel = 0; pixel < pixels; pixel += piece)
            for (var block = 0; block < blocks.Length - 1; block++)
                ranges.Add(new OutputRange(pixel, Math.Min(piece, pixels - pixel), blocks[block], blocks[block + 1] - blocks[block]));
        return [.. ranges];
    }

    private static int Piece(int pixels, ReadOnlySpan<int> blocks, int threads)
    {
        var filters = 0;
        for (var block = 0; block < blocks.Length - 1; block++) filters = Math.Max(filters, blocks[block + 1] - blocks[block]);
        var most = CountBytes / sizeof(int) / filters;
        var pieces = threads == 1 ? 1 : (threads * TasksOfThread + blocks.Length - 2) / (blocks.Length - 1);
        var share = (pixels + pieces - 1) / pieces;
        return Math.Max(PixelMultiple, Math.Min(most, share) / PixelMultiple * PixelMultiple);
    }
}
