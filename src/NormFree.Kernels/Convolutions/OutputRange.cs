namespace NormFree.Kernels.Convolutions;

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
