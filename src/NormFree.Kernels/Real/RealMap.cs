namespace NormFree.Kernels.Real;

/// <summary>An image or a map of real numbers in memory of the caller's, planar or channels-last.</summary>
/// <param name="Values">The first channel of the first pixel.</param>
/// <param name="Height">Rows.</param>
/// <param name="Width">Columns; rows follow one another.</param>
/// <param name="PixelStep">From a pixel to the next, in values.</param>
/// <param name="ChannelStep">From a channel to the next, in values.</param>
public readonly unsafe record struct RealMap(nint Values, int Height, int Width, int PixelStep, int ChannelStep)
{
    /// <summary>Channel by channel, as images enter a network.</summary>
    public static RealMap Planar(float* values, int height, int width) => new((nint)values, height, width, 1, height * width);

    /// <summary>Pixel by pixel.</summary>
    public static RealMap ChannelsLast(float* values, int height, int width, int channels) => new((nint)values, height, width, channels, 1);

    /// <summary>One value.</summary>
    public float* At(int y, int x, int channel) => (float*)Values + ((nint)y * Width + x) * PixelStep + (nint)channel * ChannelStep;
}
