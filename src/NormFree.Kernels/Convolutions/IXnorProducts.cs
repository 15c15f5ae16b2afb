namespace NormFree.Kernels.Convolutions;

/// <summary>The innermost loops of the XNOR convolution: scalar products of binary vectors.</summary>
internal unsafe interface IXnorProducts
{
    /// <summary>Filters at once, a divisor of <see cref="PreparedFilters.Interleave"/>.</summary>
    static abstract int Filters { get; }

    /// <summary>So many words can be multiplied at once.</summary>
    static abstract int MostWords { get; }

    /// <summary>target[p][f] = bits − 2·|pixel p ⊕ filter f| for some pixels and <see cref="Filters"/> filters.</summary>
    /// <param name="pixels">The pixels' words.</param>
    /// <param name="stride">Words from one pixel to the next.</param>
    /// <param name="count">Pixels.</param>
    /// <param name="filters">The filters' words: the same word of all of them, and <see cref="PreparedFilters.Interleave"/> words on the next.</param>
    /// <param name="words">Words of a pixel and of a filter, at most <see cref="MostWords"/>.</param>
    /// <param name="bits">How many bits of them count.</param>
    /// <param name="target">Where the results go.</param>
    /// <param name="targetStride">Results from one pixel to the next.</param>
    static abstract void Multiply(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride);
}
