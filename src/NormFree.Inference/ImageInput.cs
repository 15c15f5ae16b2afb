using NormFree.Inference.Model;
using NormFree.Kernels.Images;

namespace NormFree.Inference;

/// <summary>From an image's bytes to a network's input.</summary>
/// <example><code>
/// float[] image = ImageInput.Of(network.Model, rgb, width, height); // rgb: from any decoder
/// network.Run(image, logits);
/// </code></example>
public static class ImageInput
{
    /// <summary>Resizes an image so that it just covers the network's, takes the middle, and normalises.</summary>
    /// <remarks>Byte for byte what the training's evaluation makes of it; a network of ImageNet's recipe sees the middle 224 of 256 pixels.</remarks>
    /// <param name="model">The network's model.</param>
    /// <param name="rgb">height × width × 3 bytes: R, G and B of a pixel side by side.</param>
    /// <param name="width">Columns of the image.</param>
    /// <param name="height">Rows of the image.</param>
    /// <param name="shortSide">
    /// What the network's shorter side would be if it saw the whole image: 256 in ImageNet's recipe, for a network of 224. 0: that side itself.
    /// </param>
    /// <returns>3×H×W.</returns>
    /// <exception cref="ArgumentException">There are not as many bytes, or the network takes images of another number of channels.</exception>
    public static float[] Of(PackedModel model, byte[] rgb, int width, int height, int shortSide = 0)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        var side = Math.Min(model.Width, model.Height);
        if (shortSide != 0) ArgumentOutOfRangeException.ThrowIfLessThan(shortSide, side);
        if (rgb.LongLength != (long)RgbImage.Channels * width * height)
            throw new ArgumentException($"{rgb.Length} bytes are no {width}×{height} pixels of three bytes.", nameof(rgb));
        if (model.Mean.Count != RgbImage.Channels)
            throw new ArgumentException($"The network takes images of {model.Mean.Count} channels, not of red, green and blue.", nameof(model));
        int Seen(int of) => shortSide == 0 ? of : (int)((long)of * shortSide / side);
        var (wide, high) = RgbImage.Cover(width, height, Seen(model.Width), Seen(model.Height));
        var resized = Bilinear.Resize(rgb, width, height, wide, high);
        var (left, top) = (RgbImage.Middle(wide, model.Width), RgbImage.Middle(high, model.Height));
        var middle = RgbImage.Window(resized, wide, high, left, top, model.Width, model.Height);
        var image = new float[middle.Length];
        RgbImage.Normalise(middle, [.. model.Mean], [.. model.Deviation], image);
        return image;
    }
}
