namespace NormFree.Torch.Fused;

/// <summary>Goes on with the result of a convolution while it is in the processor's cache.</summary>
internal unsafe interface IProductReader
{
    /// <summary>Takes pixels of a convolution of signs with signs.</summary>
    /// <param name="firstPixel">Number of the first pixel in the batch.</param>
    /// <param name="pixels">How many.</param>
    /// <param name="counts">Exact sums, pixels × channels.</param>
    /// <param name="scale">One factor a channel.</param>
    void Take(long firstPixel, int pixels, int* counts, float* scale);

    /// <summary>Takes pixels of a convolution with real filters.</summary>
    /// <param name="firstPixel">Number of the first pixel in the batch.</param>
    /// <param name="pixels">How many.</param>
    /// <param name="values">pixels × channels.</param>
    void Take(long firstPixel, int pixels, float* values);
}
