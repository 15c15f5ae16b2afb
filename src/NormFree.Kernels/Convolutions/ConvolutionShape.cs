namespace NormFree.Kernels.Convolutions;

/// <summary>Sizes of a 2-D convolution. Maps are channels-last: N×H×W×C.</summary>
/// <param name="Batch">N, number of images.</param>
/// <param name="Height">H, height of the input in pixels.</param>
/// <param name="Width">W, width of the input in pixels.</param>
/// <param name="In">C, input channels.</param>
/// <param name="Out">O, output channels (filters).</param>
/// <param name="KernelHeight">Height of a filter.</param>
/// <param name="KernelWidth">Width of a filter.</param>
/// <param name="StrideY">Vertical stride.</param>
/// <param name="StrideX">Horizontal stride.</param>
/// <param name="PadY">Rows of padding above and below.</param>
/// <param name="PadX">Columns of padding left and right.</param>
public readonly record struct ConvolutionShape(
    int Batch, int Height, int Width, int In, int Out,
    int KernelHeight, int KernelWidth, int StrideY, int StrideX, int PadY, int PadX)
{
    /// <summary>Height of the output: ⌊(H + 2·pad − k)/stride⌋ + 1.</summary>
    public int OutHeight => (Height + 2 * PadY - KernelHeight) / StrideY + 1;

    /// <summary>Width of the output: ⌊(W + 2·pad − k)/stride⌋ + 1.</summary>
    public int OutWidth => (Width + 2 * PadX - KernelWidth) / StrideX + 1;

    /// <summary>Taps: the positions of a filter, KernelHeight × KernelWidth, row by row.</summary>
    public int Taps => KernelHeight * KernelWidth;

    /// <summary>Input pixels of the batch.</summary>
    public int InPixels => Batch * Height * Width;

    /// <summary>Output pixels of the batch.</summary>
    public int OutPixels => Batch * OutHeight * OutWidth;

    /// <summary>Multiply-accumulates of the batch, including those on padding.</summary>
    public long Macs => (long)OutPixels * Taps * In * Out;

    /// <summary>Whether an output pixel reads an input pixel at a tap, not padding.</summary>
    internal bool ReadsInput(int x, int y, int tap) =>
        (uint)(y * StrideY + tap / KernelWidth - PadY) < (uint)Height && (uint)(x * StrideX + tap % KernelWidth - PadX) < (uint)Width;

    /// <summary>Number of output pixels in a row, from x, that read no padding at any tap; 0 if pixel x itself reads padding.</summary>
    internal int PixelsWithoutPadding(int x, int y)
    {
        int row = y * StrideY - PadY, column = x * StrideX - PadX;
        if (row < 0 || column < 0 || row + KernelHeight > Height || column + KernelWidth > Width) return 0;
        return (Width - KernelWidth - column) / StrideX + 1;
    }
}

/// <summary>The value of padding in a binary map.</summary>
public enum PaddingValue
{
    /// <summary>0: padding contributes nothing, as in PyTorch, which pads after the sign.</summary>
    Zero,

    /// <summary>+1: Larq's <c>pad_values=1</c>.</summary>
    One,
}

/// <summary>A part of one image's output, the unit of work of a task.</summary>
/// <param name="FirstPixel">Index of the first pixel, counted row by row in the image.</param>
/// <param name="Pixels">Number of pixels.</param>
/// <param name="FirstFilter">Index of the first filter.</param>
/// <param name="Filters">Number of filters.</param>
public readonly record struct OutputRange(int FirstPixel, int Pixels, int FirstFilter, int Filters)
{
    /// <summary>A range of rows with all filters.</summary>
    public static OutputRange Rows(in ConvolutionShape shape, int first, int rows) =>
        new(first * shape.OutWidth, rows * shape.OutWidth, 0, shape.Out);
}
