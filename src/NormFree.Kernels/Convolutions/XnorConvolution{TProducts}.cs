using System.Numerics;
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
    public override void Rows(
        in ConvolutionShape shape, int image, int firstRow, int rows, ulong* activations, PreparedFilters filters, Scratch scratch, int* target)
    {
        var window = new XnorWindow(shape, filters, activations, image);
        var atOnce = PixelsAtOnce(shape);
        var gathered = scratch.Take<ulong>(atOnce * WordsOfPixel(shape));
        for (var row = firstRow; row < firstRow + rows; row++, target += (long)shape.OutWidth * shape.Out)
        {
            window.EnterRow(row);
            for (var column = 0; column < shape.OutWidth; column += atOnce)
            {
                var pixels = Math.Min(atOnce, shape.OutWidth - column);
                var part = target + (long)column * shape.Out;
                var source = window.Pixels(column, pixels, gathered, out var stride);
                Multiply(window, source, stride, pixels, part);
                window.TakeBackOutside(column, pixels, part);
            }
        }
    }

    /// <summary>All filters for some pixels; eight filters' words stay in the cache for all of them.</summary>
    private static void Multiply(in XnorWindow window, ulong* source, nint stride, int pixels, int* target)
    {
        var outputs = window.Shape.Out;
        for (var filter = 0; filter < outputs; filter += PreparedFilters.Interleave)
        {
            var words = window.FilterWords(filter);
            if (outputs - filter >= PreparedFilters.Interleave)
                Eight(window, source, stride, pixels, words, target + filter);
            else
                Rest(window, source, stride, pixels, words, target + filter, outputs - filter);
        }
    }

    private static void Eight(in XnorWindow window, ulong* source, nint stride, int pixels, ulong* filters, int* target)
    {
        nint outputs = window.Shape.Out;
        int words = window.Words, bits = window.Bits;
        for (var first = 0; first < PreparedFilters.Interleave; first += TProducts.Filters)
        {
            var pixel = 0;
            for (; pixel <= pixels - TProducts.Pixels; pixel += TProducts.Pixels)
                TProducts.Block(source + pixel * stride, stride, filters + first, words, bits, target + pixel * outputs + first, outputs);
            for (; pixel < pixels; pixel++)
                TProducts.Single(source + pixel * stride, filters + first, words, bits, target + pixel * outputs + first);
        }
    }

    /// <summary>The last filters, fewer than eight: what is computed beyond them is not written.</summary>
    private static void Rest(in XnorWindow window, ulong* source, nint stride, int pixels, ulong* filters, int* target, int count)
    {
        var eight = stackalloc int[PreparedFilters.Interleave];
        for (var pixel = 0; pixel < pixels; pixel++)
        {
            for (var first = 0; first < count; first += TProducts.Filters)
                TProducts.Single(source + pixel * stride, filters + first, window.Words, window.Bits, eight + first);
            for (var i = 0; i < count; i++) target[(long)pixel * window.Shape.Out + i] = eight[i];
        }
    }
}
