namespace NormFree.Kernels.Convolutions;

/// <summary>Maps target pixels to source pixels at each tap, for a convolution or its transpose (the input gradient).</summary>
/// <param name="Shape">Sizes of the convolution.</param>
/// <param name="Transposed">If true, targets are input pixels of the convolution and sources are its output pixels.</param>
public readonly record struct ConvolutionGeometry(ConvolutionShape Shape, bool Transposed)
{
    /// <summary>Rows of the target map.</summary>
    public int TargetHeight => Transposed ? Shape.Height : Shape.OutHeight;

    /// <summary>Columns of the target map.</summary>
    public int TargetWidth => Transposed ? Shape.Width : Shape.OutWidth;

    /// <summary>Rows of the source map.</summary>
    public int SourceHeight => Transposed ? Shape.OutHeight : Shape.Height;

    /// <summary>Columns of the source map.</summary>
    public int SourceWidth => Transposed ? Shape.OutWidth : Shape.Width;

    /// <summary>Channels that are summed over.</summary>
    public int SourceChannels => Transposed ? Shape.Out : Shape.In;

    /// <summary>Channels of the result.</summary>
    public int TargetChannels => Transposed ? Shape.In : Shape.Out;

    /// <summary>Target columns this far apart read neighbouring source columns at the same taps.</summary>
    public int ColumnStep => Transposed ? Shape.StrideX : 1;

    /// <summary>The source row of a target row at a filter row; negative if there is none.</summary>
    public int SourceRow(int targetRow, int kernelRow) =>
        Source(targetRow, kernelRow, Shape.StrideY, Shape.PadY, SourceHeight);

    /// <summary>The source column of a target column at a filter column; negative if there is none.</summary>
    public int SourceColumn(int targetColumn, int kernelColumn) =>
        Source(targetColumn, kernelColumn, Shape.StrideX, Shape.PadX, SourceWidth);

    /// <summary>The first and last source row that target rows first … last read; Last &lt; First if they read none.</summary>
    public (int First, int Last) SourceRows(int firstTarget, int lastTarget)
    {
        int first = int.MaxValue, last = -1;
        for (var target = firstTarget; target <= lastTarget; target++)
            for (var kernelRow = 0; kernelRow < Shape.KernelHeight; kernelRow++)
            {
                if (SourceRow(target, kernelRow) is var source and >= 0)
                    (first, last) = (Math.Min(first, source), Math.Max(last, source));
            }
        return (first, last);
    }

    private int Source(int target, int tap, int stride, int pad, int size)
    {
        int source;
        if (Transposed)
        {
            source = target + pad - tap;
            if (source < 0 || source % stride != 0) return -1;
            source /= stride;
        }
        else
        {
            source = target * stride + tap - pad;
        }
        return (uint)source < (uint)size ? source : -1;
    }
}

/// <summary>Iterates over the output pixels of a batch in memory order and gives the input pixel that each reads at one tap.</summary>
internal struct OutputPixels
{
    private readonly ConvolutionShape shape;
    private readonly int tapRow;
    private readonly int tapColumn;
    private int image;
    private int y;
    private int x;

    /// <summary>Starts at an output pixel.</summary>
    public OutputPixels(in ConvolutionShape shape, int tap, int first)
    {
        this.shape = shape;
        tapRow = tap / shape.KernelWidth - shape.PadY;
        tapColumn = tap % shape.KernelWidth - shape.PadX;
        x = first % shape.OutWidth;
        y = first / shape.OutWidth % shape.OutHeight;
        image = first / (shape.OutWidth * shape.OutHeight);
    }

    /// <summary>Index of the input pixel in the batch; negative at padding and past the end of the batch.</summary>
    public readonly long Source
    {
        get
        {
            int row = y * shape.StrideY + tapRow, column = x * shape.StrideX + tapColumn;
            if (image >= shape.Batch || (uint)row >= (uint)shape.Height || (uint)column >= (uint)shape.Width) return -1;
            return ((long)image * shape.Height + row) * shape.Width + column;
        }
    }

    /// <summary>Moves to the next output pixel.</summary>
    public void Next()
    {
        if (++x < shape.OutWidth) return;
        x = 0;
        if (++y < shape.OutHeight) return;
        y = 0;
        image++;
    }
}
