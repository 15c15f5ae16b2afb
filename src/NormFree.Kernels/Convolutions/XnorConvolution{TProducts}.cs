using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using NormFree.Kernels.Memory;

namespace NormFree.Kernels.Convolutions;

/// <summary><see cref="XnorConvolution"/> on one kind of scalar products.</summary>
/// <remarks>
/// The words that an output pixel meets are gathered side by side, in the filters' order; columns outside the map as zeros, whose products are taken
/// back afterwards. Rows of the filter that lie outside are left out on both sides: the rest is one piece.
/// </remarks>
internal sealed unsafe class XnorConvolution<TProducts> : XnorConvolution
    where TProducts : struct, IXnorProducts
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Compute(
        in ConvolutionShape shape, int image, in OutputRange range, ulong* activations, PreparedFilters filters, Scratch scratch, int* target)
    {
        if (!filters.Fit(shape)) ThrowMisfit(shape, filters.Shape);
        var window = new XnorWindow(shape, filters, activations, image);
        var atOnce = PixelsAtOnce(shape);
        var gathered = scratch.Take<ulong>(atOnce * WordsOfPixel(shape));
        var eight = scratch.Take<int>(atOnce * PreparedFilters.Interleave);
        int pixel = range.FirstPixel, end = pixel + range.Pixels;
        while (pixel < end)
        {
            var pixels = Math.Min(atOnce, Math.Min(end, window.Enter(pixel)) - pixel);
            var source = window.Pixels(pixel, pixels, gathered);
            // Eight filters' words stay in the cache for all pixels.
            for (var filter = 0; filter < range.Filters; filter += PreparedFilters.Interleave)
                Multiply(window, source, pixels, range, filter, eight, target + filter);
            window.TakeBackOutside(pixel, pixels, range, target);
            pixel += pixels;
            target += (long)pixels * range.Filters;
        }
        GC.KeepAlive(filters);
    }

    /// <summary>Eight filters, or those of them that there are; by way of other memory where what is computed cannot simply be written.</summary>
    private static void Multiply(in XnorWindow window, ulong* pixels, int count, in OutputRange range, int filter, int* eight, int* target)
    {
        int outputs = range.Filters, filters = Math.Min(PreparedFilters.Interleave, outputs - filter), words = window.Words;
        var source = window.FilterWords(range.FirstFilter + filter);
        if (filters == PreparedFilters.Interleave && words <= TProducts.MostWords)
        {
            Eight(pixels, words, count, source, words, window.Bits, target, outputs);
            return;
        }
        for (var first = 0; first == 0 || first < words; first += TProducts.MostWords)
        {
            var part = Math.Min(TProducts.MostWords, words - first);
            var bits = first == 0 ? window.Bits : 0;
            Eight(pixels + first, words, count, source + (long)first * PreparedFilters.Interleave, part, bits, eight, PreparedFilters.Interleave);
            for (var pixel = 0; pixel < count; pixel++)
                for (var i = 0; i < filters; i++)
                {
                    var sum = target + (long)pixel * outputs + i;
                    *sum = eight[pixel * PreparedFilters.Interleave + i] + (first == 0 ? 0 : *sum);
                }
        }
    }

    private static void Eight(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        for (var first = 0; first < PreparedFilters.Interleave; first += TProducts.Filters)
            TProducts.Multiply(pixels, stride, count, filters + first, words, bits, target + first, targetStride);
    }

    [DoesNotReturn]
    private static void ThrowMisfit(in ConvolutionShape shape, in ConvolutionShape filters) =>
        throw new ArgumentException($"The filters were prepared for {filters}, not for {shape}.");
}
