using System.Numerics;

namespace NormFree.Kernels.Convolutions;

/// <summary>What the pixels of one output row meet: words of an image's map, and those of the filters that belong to them.</summary>
internal unsafe struct XnorWindow
{
    public readonly ConvolutionShape Shape;
    private readonly PreparedFilters filters;
    private readonly ulong* map;
    private readonly int wordsOfTap;

    /// <summary>The row of the map that the filter's row 0 meets; outside the map it may be.</summary>
    private int top;

    /// <summary>Rows of the filter that are computed, from the first to the one behind the last.</summary>
    private int firstTapRow, endTapRow;

    public XnorWindow(in ConvolutionShape shape, PreparedFilters filters, ulong* activations, int image)
    {
        Shape = shape;
        this.filters = filters;
        wordsOfTap = filters.WordsOfTap;
        map = activations + (long)image * shape.Height * shape.Width * wordsOfTap;
    }

    private readonly bool OutsideIsZero => filters.OutsideTaps == OutsideTaps.Zero;

    /// <summary>Words that are gathered of a pixel.</summary>
    public readonly int Words => (endTapRow - firstTapRow) * Shape.KernelWidth * wordsOfTap;

    /// <summary>How many of their bits are channels.</summary>
    public readonly int Bits => (endTapRow - firstTapRow) * Shape.KernelWidth * Shape.In;

    /// <summary>Goes to an output row.</summary>
    public void EnterRow(int row)
    {
        top = row * Shape.StrideY - Shape.PadY;
        firstTapRow = OutsideIsZero ? Math.Clamp(-top, 0, Shape.KernelHeight) : 0;
        endTapRow = OutsideIsZero ? Math.Clamp(Shape.Height - top, firstTapRow, Shape.KernelHeight) : Shape.KernelHeight;
    }

    /// <summary>The words of eight filters for the rows of this window.</summary>
    public readonly ulong* FilterWords(int filter) =>
        filters.Words + ((long)filter * Shape.Taps + firstTapRow * Shape.KernelWidth * PreparedFilters.Interleave) * wordsOfTap;

    /// <summary>The words of some pixels: where they are, if there is one tap, else gathered.</summary>
    public readonly ulong* Pixels(int column, int pixels, ulong* gathered, out nint stride)
    {
        if (Shape.Taps == 1 && Shape.PadX == 0 && endTapRow - firstTapRow == 1 && (uint)top < (uint)Shape.Height)
        {
            stride = (nint)Shape.StrideX * wordsOfTap;
            return map + ((long)top * Shape.Width + column * Shape.StrideX) * wordsOfTap;
        }
        stride = Words;
        for (var pixel = 0; pixel < pixels; pixel++) Gather(column + pixel, gathered + pixel * stride);
        return gathered;
    }

    /// <summary>Adds what turns the products with zeros outside the map to 0.</summary>
    public readonly void TakeBackOutside(int column, int pixels, int* target)
    {
        if (!OutsideIsZero) return;
        for (var pixel = 0; pixel < pixels; pixel++, target += Shape.Out)
        {
            var left = (column + pixel) * Shape.StrideX - Shape.PadX;
            if (left >= 0 && left + Shape.KernelWidth <= Shape.Width) continue;
            for (var tapColumn = 0; tapColumn < Shape.KernelWidth; tapColumn++)
            {
                if ((uint)(left + tapColumn) < (uint)Shape.Width) continue;
                for (var tapRow = firstTapRow; tapRow < endTapRow; tapRow++)
                    Add(target, filters.Outside + (long)(tapRow * Shape.KernelWidth + tapColumn) * filters.Padded, Shape.Out);
            }
        }
    }

    private readonly void Gather(int column, ulong* target)
    {
        var left = column * Shape.StrideX - Shape.PadX;
        for (var tapRow = firstTapRow; tapRow < endTapRow; tapRow++)
        for (var tapColumn = 0; tapColumn < Shape.KernelWidth; tapColumn++, target += wordsOfTap)
        {
            int y = top + tapRow, x = left + tapColumn;
            if ((uint)y < (uint)Shape.Height && (uint)x < (uint)Shape.Width)
                Copy(map + ((long)y * Shape.Width + x) * wordsOfTap, target);
            else if (OutsideIsZero)
                new Span<ulong>(target, wordsOfTap).Clear();
            else
                AllChannels(target);
        }
    }

    private readonly void Copy(ulong* source, ulong* target)
    {
        for (var i = 0; i < wordsOfTap; i++) target[i] = source[i];
    }

    /// <summary>+1 in every channel, and in no bit behind the last.</summary>
    private readonly void AllChannels(ulong* target)
    {
        new Span<ulong>(target, wordsOfTap).Fill(ulong.MaxValue);
        if (Shape.In % 64 != 0) target[wordsOfTap - 1] = (1UL << (Shape.In % 64)) - 1;
    }

    private static void Add(int* target, int* source, int count)
    {
        var i = 0;
        for (; i <= count - Vector<int>.Count; i += Vector<int>.Count)
            (*(Vector<int>*)(target + i) + *(Vector<int>*)(source + i)).CopyTo(new Span<int>(target + i, Vector<int>.Count));
        for (; i < count; i++) target[i] += source[i];
    }
}
