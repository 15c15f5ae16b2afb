namespace NormFree.Kernels.Convolutions;

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
