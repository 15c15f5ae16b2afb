namespace NormFree.Kernels.Convolutions;

/// <summary>Rows and columns of dy that some rows of the input map reach, including those outside dy, which count as zeros.</summary>
internal readonly record struct PaddedMap(int FirstRow, int Rows, int FirstColumn, int Columns)
{
    /// <summary>The map of input rows <paramref name="first"/> … first + rows − 1.</summary>
    public static PaddedMap Of(in ConvolutionShape shape, int first, int rows)
    {
        int top = Floor(first + shape.PadY - shape.KernelHeight + 1, shape.StrideY), left = Floor(shape.PadX - shape.KernelWidth + 1, shape.StrideX);
        int bottom = (first + rows - 1 + shape.PadY) / shape.StrideY, right = (shape.Width - 1 + shape.PadX) / shape.StrideX;
        return new PaddedMap(top, bottom - top + 1, left, right - left + 1);
    }

    /// <summary>Copies one image's dy (H'×W'×O), with zeros around it.</summary>
    public unsafe void Copy(in ConvolutionShape shape, float* source, float* target)
    {
        int size = Columns * shape.Out, before = Math.Max(0, -FirstColumn), columns = Math.Min(shape.OutWidth, FirstColumn + Columns) - Math.Max(0, FirstColumn);
        for (var row = FirstRow; row < FirstRow + Rows; row++, target += size)
        {
            var line = new Span<float>(target, size);
            if ((uint)row >= (uint)shape.OutHeight || columns <= 0)
            {
                line.Clear();
                continue;
            }
            line[..(before * shape.Out)].Clear();
            var from = source + ((nint)row * shape.OutWidth + Math.Max(0, FirstColumn)) * shape.Out;
            new ReadOnlySpan<float>(from, columns * shape.Out).CopyTo(line[(before * shape.Out)..]);
            line[((before + columns) * shape.Out)..].Clear();
        }
    }

    private static int Floor(int value, int divisor) => value >= 0 ? value / divisor : -((divisor - 1 - value) / divisor);
}
