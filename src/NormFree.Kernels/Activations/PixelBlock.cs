namespace NormFree.Kernels.Activations;

/// <summary>How loops over maps go: block by block of pixels, in each one vector of channels after the other.</summary>
/// <remarks>
/// A channel's parameters and sums stay in registers over the pixels of a block. Over a whole map they would stay longer, but a vector's next pixel
/// lies C floats further, up to a page, which no prefetcher follows; a block's lines are all read within a moment.
/// </remarks>
internal static class PixelBlock
{
    /// <summary>Pixels of a block.</summary>
    public const int Size = 16;
}
