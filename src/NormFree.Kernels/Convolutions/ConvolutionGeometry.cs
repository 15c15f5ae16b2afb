namespace NormFree.Kernels.Convolutions;

/// <summary>Which source pixel a target pixel meets at each tap of a filter: of a convolution, or of its gradient, which goes the other way.</summary>
/// <param name="Shape">The convolution.</param>
/// <param name="Transposed">Targets are pixels of the convolution's input, sources pixels of its output: the gradient's way.</param>
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

    /// <summary>Target columns so far apart meet neighbouring source columns at the same taps.</summary>
    public int ColumnStep => Transposed ? Shape.StrideX : 1;

    /// <summary>The source row of a target row at a row of the filter; negative where there is none.</summary>
    public int SourceRow(int targetRow, int kernelRow) =>
        Source(targetRow, kernelRow, Shape.StrideY, Shape.PadY, SourceHeight);

    /// <summary>The source column of a target column at a column of the filter; negative where there is none.</summary>
    public int SourceColumn(int targetColumn, int kernelColumn) =>
        Source(targetColumn, kernelColumn, Shape.StrideX, Shape.PadX, SourceWidth);

    /// <summary>The first and the last source row that any target row from first to last meets; last &lt; first where they meet none.</summary>
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

/// <summary>Goes through a batch's output pixels in the order of memory, and says which input pixel each meets at a tap.</summary>
internal struct OutputPixels
{
    private readonly ConvolutionShape shape;
    private readonly int tapRow;
    private readonly int tapColumn;
    private int image;
    private int y;
    private int x;

    /// <summary>Begins at a pixel.</summary>
    public OutputPixels(in ConvolutionShape shape, int tap, int first)
    {
        this.shape = shape;
        tapRow = tap / shape.KernelWidth - shape.PadY;
        tapColumn = tap % shape.KernelWidth - shape.PadX;
        x = first % shape.OutWidth;
        y = first / shape.OutWidth % shape.OutHeight;
        image = first / (shape.OutWidth * shape.OutHeight);
    }

    /// <summary>The input pixel's number in the batch; negative where the pixel meets padding, or lies behind the batch's end.</summary>
    public readonly long Source
    {
        get
        {
            int row = y * shape.StrideY + tapRow, column = x * shape.StrideX + tapColumn;
            if (image >= shape.Batch || (uint)row >= (uint)shape.Height || (uint)column >= (uint)shape.Width) return -1;
            return ((long)image * shape.Height + row) * shape.Width + column;
        }
    }

    /// <summary>Goes on to the next pixel.</summary>
    public void Next()
    {
        if (++x < shape.OutWidth) return;
        x = 0;
        if (++y < shape.OutHeight) return;
        y = 0;
        image++;
    }
}
