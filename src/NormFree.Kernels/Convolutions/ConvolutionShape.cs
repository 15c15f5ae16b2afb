namespace NormFree.Kernels.Convolutions;

/// <summary>The sizes of a convolution. Maps are channels-last: N×H×W×C, one pixel's channels side by side.</summary>
/// <param name="Batch">N, images.</param>
/// <param name="Height">H of the input, in pixels.</param>
/// <param name="Width">W of the input, in pixels.</param>
/// <param name="In">C, channels of the input.</param>
/// <param name="Out">O, channels of the output.</param>
/// <param name="KernelHeight">Rows of a filter.</param>
/// <param name="KernelWidth">Columns of a filter.</param>
/// <param name="StrideY">Step from one output row to the next, in input rows.</param>
/// <param name="StrideX">Step from one output column to the next, in input columns.</param>
/// <param name="PadY">Rows added above and below; they contribute 0.</param>
/// <param name="PadX">Columns added left and right; they contribute 0.</param>
public readonly record struct ConvolutionShape(
    int Batch, int Height, int Width, int In, int Out,
    int KernelHeight, int KernelWidth, int StrideY, int StrideX, int PadY, int PadX)
{
    /// <summary>⌊(H + 2·pad − k)/stride⌋ + 1.</summary>
    public int OutHeight => (Height + 2 * PadY - KernelHeight) / StrideY + 1;

    /// <summary>⌊(W + 2·pad − k)/stride⌋ + 1.</summary>
    public int OutWidth => (Width + 2 * PadX - KernelWidth) / StrideX + 1;

    /// <summary>Positions in a filter: rows × columns, row by row.</summary>
    public int Taps => KernelHeight * KernelWidth;

    /// <summary>Pixels of the whole batch's input, in the order of memory.</summary>
    public int InPixels => Batch * Height * Width;

    /// <summary>Pixels of the whole batch's output.</summary>
    public int OutPixels => Batch * OutHeight * OutWidth;

    /// <summary>Multiply-accumulates of the whole batch, those on padding included.</summary>
    public long Macs => (long)OutPixels * Taps * In * Out;

    /// <summary>Whether an output pixel meets the map at a tap, and not padding.</summary>
    internal bool ReadsInput(int x, int y, int tap) =>
        (uint)(y * StrideY + tap / KernelWidth - PadY) < (uint)Height && (uint)(x * StrideX + tap % KernelWidth - PadX) < (uint)Width;

    /// <summary>How many output pixels of a row from x on meet the map at all taps; 0 where pixel x itself does not.</summary>
    internal int PixelsWithoutPadding(int x, int y)
    {
        int row = y * StrideY - PadY, column = x * StrideX - PadX;
        if (row < 0 || column < 0 || row + KernelHeight > Height || column + KernelWidth > Width) return 0;
        return (Width - KernelWidth - column) / StrideX + 1;
    }
}

/// <summary>What the taps of a filter that lie outside the map contribute.</summary>
public enum PaddingValue
{
    /// <summary>Nothing: zeros are padded after the sign, as torch does.</summary>
    Zero,

    /// <summary>Their weights: the map is padded with +1, as Larq's one-padding does.</summary>
    One,
}

/// <summary>A part of one image's output: what a task computes.</summary>
/// <param name="FirstPixel">Its first pixel; pixels are counted row by row.</param>
/// <param name="Pixels">How many.</param>
/// <param name="FirstFilter">Its first filter.</param>
/// <param name="Filters">How many.</param>
public readonly record struct OutputRange(int FirstPixel, int Pixels, int FirstFilter, int Filters)
{
    /// <summary>Rows of an image's output, all filters.</summary>
    public static OutputRange Rows(in ConvolutionShape shape, int first, int rows) =>
        new(first * shape.OutWidth, rows * shape.OutWidth, 0, shape.Out);
}
