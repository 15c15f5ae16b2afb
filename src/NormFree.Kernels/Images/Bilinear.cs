namespace NormFree.Kernels.Images;

/// <summary>Bilinear resizing with antialiasing.</summary>
/// <remarks>
/// A triangle filter whose support grows with the scale when shrinking, in two passes with bytes between, fixed point of 22 bits: the arithmetic of
/// Pillow's <c>Image.resize(BILINEAR)</c>, which torchvision uses on images.
/// </remarks>
public static class Bilinear
{
    /// <summary>An image in another size; a side that keeps its length is left alone.</summary>
    /// <param name="pixels">height × width × 3 bytes.</param>
    /// <param name="width">Its columns.</param>
    /// <param name="height">Its rows.</param>
    /// <param name="newWidth">The result's columns.</param>
    /// <param name="newHeight">The result's rows.</param>
    /// <exception cref="ArgumentException">The result, or the image between the two passes, has more bytes than an array holds.</exception>
    public static byte[] Resize(ReadOnlySpan<byte> pixels, int width, int height, int newWidth, int newHeight)
    {
        if (newWidth == width) return newHeight == height ? pixels.ToArray() : ResizeHeight(pixels, width, height, newHeight);
        var wide = ResizeWidth(pixels, width, height, newWidth);
        return newHeight == height ? wide : ResizeHeight(wide, newWidth, height, newHeight);
    }

    private static byte[] ResizeWidth(ReadOnlySpan<byte> pixels, int width, int height, int newWidth)
    {
        var result = RgbImage.Black(newWidth, height);
        var rows = new Lines(RgbImage.Channels, RgbImage.Channels * width);
        Pass(new TriangleFilter(width, newWidth), pixels, rows, result, rows with { Stride = RgbImage.Channels * newWidth }, height);
        return result;
    }

    private static byte[] ResizeHeight(ReadOnlySpan<byte> pixels, int width, int height, int newHeight)
    {
        var result = RgbImage.Black(width, newHeight);
        var columns = new Lines(RgbImage.Channels * width, RgbImage.Channels);
        Pass(new TriangleFilter(height, newHeight), pixels, columns, result, columns, width);
        return result;
    }

    private static void Pass(TriangleFilter filter, ReadOnlySpan<byte> source, Lines from, byte[] target, Lines to, int lines)
    {
        for (var line = 0; line < lines; line++)
            for (var i = 0; i < filter.Count; i++)
            {
                var start = line * from.Stride + filter.First(i) * from.Step;
                int red = TriangleFilter.RoundingOffset, green = red, blue = red;
                foreach (var weight in filter.Weights(i))
                {
                    red += weight * source[start];
                    green += weight * source[start + 1];
                    blue += weight * source[start + 2];
                    start += from.Step;
                }
                var at = line * to.Stride + i * to.Step;
                target[at] = TriangleFilter.ToByte(red);
                target[at + 1] = TriangleFilter.ToByte(green);
                target[at + 2] = TriangleFilter.ToByte(blue);
            }
    }

    /// <summary>Rows or columns of an image.</summary>
    /// <param name="Step">From a line's pixel to the next, in bytes.</param>
    /// <param name="Stride">From a line to the next, in bytes.</param>
    private readonly record struct Lines(int Step, int Stride);
}

/// <summary>One pass of <see cref="Bilinear"/> along a line: output i is Σ weights(i)[t] · input[first(i) + t], in fixed point.</summary>
internal sealed class TriangleFilter
{
    private const int FractionBits = 22;

    /// <summary>What makes of cutting bits off a rounding.</summary>
    public const int RoundingOffset = 1 << (FractionBits - 1);

    private readonly int taps;
    private readonly int[] first;
    private readonly int[] lengths;
    private readonly int[] weights;

    /// <summary>The filter from so many pixels to so many.</summary>
    public TriangleFilter(int input, int output)
    {
        var scale = (double)input / output;
        var support = Math.Max(scale, 1);
        taps = (int)Math.Ceiling(support) * 2 + 1;
        (first, lengths, weights) = (new int[output], new int[output], new int[(long)taps * output]);
        for (var i = 0; i < output; i++) Fill(i, (i + 0.5) * scale, support, input);
    }

    /// <summary>Pixels of the output.</summary>
    public int Count => first.Length;

    /// <summary>The first input of an output.</summary>
    public int First(int i) => first[i];

    /// <summary>The weights of an output.</summary>
    public ReadOnlySpan<int> Weights(int i) => weights.AsSpan(i * taps, lengths[i]);

    /// <summary>A sum of weighted bytes as a byte.</summary>
    public static byte ToByte(int sum) => (byte)Math.Clamp(sum >> FractionBits, 0, 255);

    private void Fill(int i, double centre, double support, int input)
    {
        first[i] = Math.Max(0, (int)(centre - support + 0.5));
        lengths[i] = Math.Min(input, (int)(centre + support + 0.5)) - first[i];
        var sum = 0.0;
        for (var t = 0; t < lengths[i]; t++) sum += Weight(i, t, centre, support);
        for (var t = 0; t < lengths[i]; t++) weights[i * taps + t] = (int)(Weight(i, t, centre, support) / sum * (1 << FractionBits) + 0.5);
    }

    private double Weight(int i, int t, double centre, double support) => Math.Max(0, 1 - Math.Abs((t + first[i] - centre + 0.5) / support));
}
