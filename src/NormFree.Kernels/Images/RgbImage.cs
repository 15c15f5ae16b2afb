namespace NormFree.Kernels.Images;

/// <summary>Operations on 8-bit RGB images, height × width × 3 bytes.</summary>
public static class RgbImage
{
    /// <summary>Bytes per pixel.</summary>
    public const int Channels = 3;

    /// <summary>A black image.</summary>
    /// <exception cref="ArgumentException">The image exceeds the size limit of arrays.</exception>
    public static byte[] Black(int width, int height) => new byte[Bytes(width, height)];

    /// <summary>Crops a rectangle; the part outside the image is black.</summary>
    /// <param name="pixels">height × width × 3 bytes.</param>
    /// <param name="width">Width of the image.</param>
    /// <param name="height">Height of the image.</param>
    /// <param name="left">First column of the rectangle; may be negative.</param>
    /// <param name="top">First row of the rectangle; may be negative.</param>
    /// <param name="newWidth">Width of the rectangle.</param>
    /// <param name="newHeight">Height of the rectangle.</param>
    /// <exception cref="ArgumentException">The rectangle exceeds the size limit of arrays.</exception>
    public static byte[] Crop(ReadOnlySpan<byte> pixels, int width, int height, int left, int top, int newWidth, int newHeight)
    {
        var result = Black(newWidth, newHeight);
        var (first, end) = (Math.Max(0, left), Math.Min(width, left + newWidth));
        if (end <= first) return result;
        for (var y = Math.Max(0, top); y < Math.Min(height, top + newHeight); y++)
        {
            var target = Channels * ((y - top) * newWidth + first - left);
            pixels.Slice(Channels * (y * width + first), Channels * (end - first)).CopyTo(result.AsSpan(target));
        }
        return result;
    }

    /// <summary>Start of a centre crop of <paramref name="size"/> pixels along a side. Halves round to even, like Python's <c>round</c>.</summary>
    public static int CentreOffset(int side, int size) => (int)Math.Round((side - size) / 2.0);

    /// <summary>The smallest size with the image's aspect ratio that covers a rectangle; the longer side is rounded down, as in torchvision.</summary>
    /// <exception cref="ArgumentException">An image of this size exceeds the size limit of arrays.</exception>
    public static (int Width, int Height) CoveringSize(int width, int height, int minWidth, int minHeight)
    {
        (long newWidth, long newHeight) = (long)width * minHeight <= (long)height * minWidth
            ? ((long)minWidth, (long)minWidth * height / width)
            : ((long)minHeight * width / height, (long)minHeight);
        _ = Bytes(newWidth, newHeight);
        return ((int)newWidth, (int)newHeight);
    }

    /// <summary>Converts RGB bytes to three planes of (x/255 − mean)/deviation, with one multiplication and one addition per value.</summary>
    /// <param name="pixels">Pixels × 3 bytes.</param>
    /// <param name="mean">Mean of each channel, where byte 255 is 1.</param>
    /// <param name="deviation">Standard deviation of each channel, in the same unit.</param>
    /// <param name="planes">Output, 3 × pixels.</param>
    public static void Normalise(ReadOnlySpan<byte> pixels, ReadOnlySpan<float> mean, ReadOnlySpan<float> deviation, Span<float> planes)
    {
        var area = pixels.Length / Channels;
        for (var channel = 0; channel < Channels; channel++)
        {
            var scale = 1 / (255 * deviation[channel]);
            var shift = -mean[channel] / deviation[channel];
            var plane = planes.Slice(channel * area, area);
            for (var i = 0; i < plane.Length; i++) plane[i] = pixels[Channels * i + channel] * scale + shift;
        }
    }

    private static int Bytes(long width, long height) => (decimal)Channels * width * height is var bytes && bytes <= Array.MaxLength
        ? (int)bytes
        : throw new ArgumentException($"An image of {width}×{height} pixels exceeds the size limit of an array. Crop it to less extreme proportions first.");
}
