namespace NormFree.Kernels.Images;

/// <summary>Antialiased bilinear resizing.</summary>
/// <remarks>
/// Bit-identical to Pillow's <c>Image.resize(BILINEAR)</c>, which torchvision uses for images: a triangle filter that widens with the scale when shrinking,
/// two passes with an 8-bit intermediate image, 22 fractional bits.
/// </remarks>
public static class Bilinear
{
    /// <summary>Resizes an image; a side that keeps its length is not resampled.</summary>
    /// <param name="pixels">height × width × 3 bytes.</param>
    /// <param name="width">Width of the image.</param>
    /// <param name="height">Height of the image.</param>
    /// <param name="newWidth">Width of the result.</param>
    /// <param name="newHeight">Height of the result.</param>
    /// <exception cref="ArgumentException">The result or the intermediate image exceeds the size limit of arrays.</exception>
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
    /// <param name="Step">Bytes from one pixel of a line to the next.</param>
    /// <param name="Stride">Bytes from one line to the next.</param>
    private readonly record struct Lines(int Step, int Stride);
}

/// <summary>Resampling filter of one pass: output i is Σ_t weights(i)[t]·input[first(i) + t], in fixed point.</summary>
internal sealed class TriangleFilter
{
    private const int FractionBits = 22;

    /// <summary>0.5 in fixed point: added before truncation, it rounds to nearest.</summary>
    public const int RoundingOffset = 1 << (FractionBits - 1);

    private readonly int taps;
    private readonly int[] first;
    private readonly int[] lengths;
    private readonly int[] weights;

    /// <summary>Computes the filter that resizes <paramref name="input"/> pixels to <paramref name="output"/>.</summary>
    public TriangleFilter(int input, int output)
    {
        var scale = (double)input / output;
        var support = Math.Max(scale, 1);
        taps = (int)Math.Ceiling(support) * 2 + 1;
        (first, lengths, weights) = (new int[output], new int[output], new int[(long)taps * output]);
        for (var i = 0; i < output; i++) Fill(i, (i + 0.5) * scale, support, input);
    }

    /// <summary>Number of output pixels.</summary>
    public int Count => first.Length;

    /// <summary>The first input pixel of an output pixel.</summary>
    public int First(int i) => first[i];

    /// <summary>The weights of an output pixel.</summary>
    public ReadOnlySpan<int> Weights(int i) => weights.AsSpan(i * taps, lengths[i]);

    /// <summary>Converts a fixed-point sum to a byte.</summary>
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
