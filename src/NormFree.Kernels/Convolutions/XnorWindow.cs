using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NormFree.Kernels.Convolutions;

/// <summary>Gives the words that output pixels of one image read, and the filter words that belong to them. Pixels are counted row by row.</summary>
internal unsafe struct XnorWindow
{
    public readonly ConvolutionShape Shape;
    private readonly XnorFilters filters;
    private readonly ulong* map;
    private readonly int wordsPerTap;

    /// <summary>Filter rows inside the map: first, and one past the last.</summary>
    private int firstTapRow, endTapRow;

    public XnorWindow(in ConvolutionShape shape, XnorFilters filters, ulong* activations, int image)
    {
        Shape = shape;
        this.filters = filters;
        wordsPerTap = filters.WordsPerTap;
        map = activations + (long)image * shape.Height * shape.Width * wordsPerTap;
    }

    private readonly bool PadsZeros => filters.Padding == PaddingValue.Zero;

    /// <summary>Whether the words of a pixel can be read in place, without gathering.</summary>
    private readonly bool InPlace =>
        Shape is { Taps: 1, StrideX: 1, StrideY: 1, PadX: 0, PadY: 0 };

    /// <summary>Words per pixel.</summary>
    public readonly int Words => (endTapRow - firstTapRow) * Shape.KernelWidth * wordsPerTap;

    /// <summary>Channels in these words.</summary>
    public readonly int Bits => (endTapRow - firstTapRow) * Shape.KernelWidth * Shape.In;

    /// <summary>Selects the filter rows that lie inside the map for a pixel.</summary>
    /// <returns>The first later pixel that needs other filter rows.</returns>
    public int SelectTapRows(int pixel)
    {
        var row = pixel / Shape.OutWidth;
        (firstTapRow, endTapRow) = TapRows(row);
        do row++;
        while (row < Shape.OutHeight && TapRows(row) == (firstTapRow, endTapRow));
        return row * Shape.OutWidth;
    }

    /// <summary>Words of eight filters.</summary>
    public readonly ulong* FilterWords(int filter) =>
        filters.Words + ((long)filter * Shape.Taps + firstTapRow * Shape.KernelWidth * XnorFilters.Interleave) * wordsPerTap;

    /// <summary>The words of some pixels, <see cref="Words"/> each: in place, or gathered into <paramref name="gathered"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly ulong* GatherPixels(int first, int pixels, ulong* gathered)
    {
        if (InPlace) return map + (long)first * wordsPerTap;
        int row = first / Shape.OutWidth, column = first % Shape.OutWidth;
        for (var pixel = 0; pixel < pixels; pixel++)
        {
            GatherPixel(row * Shape.StrideY - Shape.PadY, column * Shape.StrideX - Shape.PadX, gathered + pixel * Words);
            if (++column < Shape.OutWidth) continue;
            column = 0;
            row++;
        }
        return gathered;
    }

    /// <summary>Corrects the results for columns outside the map, which were read as −1 and should be 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void CorrectPadding(int first, int pixels, in OutputRange range, int* target)
    {
        if (!PadsZeros || Shape.PadX == 0) return;
        var column = first % Shape.OutWidth;
        for (var pixel = 0; pixel < pixels; pixel++, target += range.Filters)
        {
            var left = column * Shape.StrideX - Shape.PadX;
            if (++column == Shape.OutWidth) column = 0;
            if (left >= 0 && left + Shape.KernelWidth <= Shape.Width) continue;
            for (var tapColumn = 0; tapColumn < Shape.KernelWidth; tapColumn++)
            {
                if ((uint)(left + tapColumn) < (uint)Shape.Width) continue;
                Add(target, Corrections(endTapRow, tapColumn) + range.FirstFilter, range.Filters);
                if (firstTapRow > 0) Subtract(target, Corrections(firstTapRow, tapColumn) + range.FirstFilter, range.Filters);
            }
        }
    }

    private readonly int* Corrections(int tapRow, int tapColumn) =>
        filters.PaddingCorrections + ((long)tapRow * Shape.KernelWidth + tapColumn) * Shape.Out;

    private readonly (int First, int End) TapRows(int row)
    {
        if (!PadsZeros) return (0, Shape.KernelHeight);
        var top = row * Shape.StrideY - Shape.PadY;
        var first = Math.Clamp(-top, 0, Shape.KernelHeight);
        return (first, Math.Clamp(Shape.Height - top, first, Shape.KernelHeight));
    }

    /// <summary>Gathers the words of a pixel whose filter starts at (<paramref name="top"/>, <paramref name="left"/>), possibly outside the map.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void GatherPixel(int top, int left, ulong* target)
    {
        for (var tapRow = firstTapRow; tapRow < endTapRow; tapRow++)
        {
            var y = top + tapRow;
            var row = map + ((long)y * Shape.Width + left) * wordsPerTap;
            if ((uint)y < (uint)Shape.Height && left >= 0 && left + Shape.KernelWidth <= Shape.Width)
            {
                Copy(row, target, Shape.KernelWidth * wordsPerTap);
                target += Shape.KernelWidth * wordsPerTap;
                continue;
            }
            for (var tapColumn = 0; tapColumn < Shape.KernelWidth; tapColumn++, target += wordsPerTap)
            {
                if ((uint)y < (uint)Shape.Height && (uint)(left + tapColumn) < (uint)Shape.Width)
                    Copy(row + tapColumn * wordsPerTap, target, wordsPerTap);
                else if (PadsZeros)
                    new Span<ulong>(target, wordsPerTap).Clear();
                else
                    FillOnes(target);
            }
        }
    }

    /// <summary>Copies by a loop, since most copies are shorter than the cost of a call.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(ulong* source, ulong* target, int words)
    {
        var i = 0;
        for (; i <= words - Vector256<ulong>.Count; i += Vector256<ulong>.Count) Vector256.Load(source + i).Store(target + i);
        for (; i < words; i++) target[i] = source[i];
    }

    /// <summary>Sets every channel to +1 and leaves the bits past the last channel 0.</summary>
    private readonly void FillOnes(ulong* target)
    {
        new Span<ulong>(target, wordsPerTap).Fill(ulong.MaxValue);
        if (Shape.In % 64 != 0) target[wordsPerTap - 1] = (1UL << (Shape.In % 64)) - 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(int* target, int* source, int count)
    {
        var i = 0;
        for (; i <= count - Vector<int>.Count; i += Vector<int>.Count)
            (Vector.Load(target + i) + Vector.Load(source + i)).Store(target + i);
        for (; i < count; i++) target[i] += source[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Subtract(int* target, int* source, int count)
    {
        var i = 0;
        for (; i <= count - Vector<int>.Count; i += Vector<int>.Count)
            (Vector.Load(target + i) - Vector.Load(source + i)).Store(target + i);
        for (; i < count; i++) target[i] -= source[i];
    }
}
