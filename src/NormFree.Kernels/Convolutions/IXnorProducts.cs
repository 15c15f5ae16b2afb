namespace NormFree.Kernels.Convolutions;

/// <summary>The innermost loops of the XNOR convolution: scalar products of binary vectors, a few pixels by a few filters at once.</summary>
internal unsafe interface IXnorProducts
{
    /// <summary>Filters at once, a divisor of <see cref="PreparedFilters.Interleave"/>.</summary>
    static abstract int Filters { get; }

    /// <summary>Pixels at once.</summary>
    static abstract int Pixels { get; }

    /// <summary>target[p][f] = bits − 2·|pixel p ⊕ filter f| for <see cref="Pixels"/> pixels and <see cref="Filters"/> filters.</summary>
    /// <param name="pixels">The pixels' words.</param>
    /// <param name="pixelStride">Words from one pixel to the next.</param>
    /// <param name="filters">The filters' words: the same word of all of them, and <see cref="PreparedFilters.Interleave"/> words on the next.</param>
    /// <param name="words">Words of a pixel and of a filter.</param>
    /// <param name="bits">How many bits of them count.</param>
    /// <param name="target">Where the results go.</param>
    /// <param name="targetStride">Results from one pixel to the next.</param>
    static abstract void Block(ulong* pixels, nint pixelStride, ulong* filters, int words, int bits, int* target, nint targetStride);

    /// <summary>The same for a single pixel.</summary>
    static abstract void Single(ulong* pixel, ulong* filters, int words, int bits, int* target);
}
