namespace NormFree.Kernels.Images;

/// <summary>What brings images of bytes to a network: height × width × 3 of them, R, G and B of a pixel side by side.</summary>
public static class RgbImage
{
    /// <summary>Bytes of a pixel.</summary>
    public const int Channels = 3;

    /// <summary>The bytes of a black image.</summary>
    /// <exception cref="ArgumentException">They are more than an array holds.</exception>
    public static byte[] Black(int width, int height) => new byte[Bytes(width, height)];

    /// <summary>A rectangle of an image; what lies outside of the image is black.</summary>
    /// <param name="pixels">height × width × 3 bytes.</param>
    /// <param name="width">Its columns.</param>
    /// <param name="height">Its rows.</param>
    /// <param name="left">The rectangle's first column; it may be negative.</param>
    /// <param name="top">The rectangle's first row; it may be negative.</param>
    /// <param name="newWidth">The rectangle's columns.</param>
    /// <param name="newHeight">The rectangle's rows.</param>
    /// <exception cref="ArgumentException">The rectangle has more bytes than an array holds.</exception>
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

    /// <summary>Where the middle pixels of a side begin. Halves go to the even neighbour, as Python's <c>round</c> takes them.</summary>
    public static int CentreOffset(int side, int size) => (int)Math.Round((side - size) / 2.0);

    /// <summary>The size, of the image's proportions, that just covers a rectangle; the longer side is rounded down, as torchvision does.</summary>
    /// <exception cref="ArgumentException">An image of this size has more bytes than an array holds.</exception>
    public static (int Width, int Height) CoveringSize(int width, int height, int minWidth, int minHeight)
    {
        (long newWidth, long newHeight) = (long)width * minHeight <= (long)height * minWidth
            ? ((long)minWidth, (long)minWidth * height / width)
            : ((long)minHeight * width / height, (long)minHeight);
        _ = Bytes(newWidth, newHeight);
        return ((int)newWidth, (int)newHeight);
    }

    /// <summary>Three planes of (x/255 − mean)/deviation, as one multiplication and one addition a value.</summary>
    /// <param name="pixels">Pixels × 3 bytes.</param>
    /// <param name="mean">Of each channel, where a byte of 255 is 1.</param>
    /// <param name="deviation">Of each channel.</param>
    /// <param name="planes">3 × pixels.</param>
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
        : throw new ArgumentException($"An image of {width}×{height} pixels is more than an array holds: crop it to less extreme proportions first.");
}
