using NormFree.Inference.Model;
using NormFree.Kernels.Images;

namespace NormFree.Inference;

/// <summary>From an image's bytes to a network's input.</summary>
/// <example><code>
/// float[] image = ImageInput.Of(network.Model, rgb, height, width); // rgb: from any decoder
/// network.Run(image, logits);
/// </code></example>
public static class ImageInput
{
    /// <summary>Prepares an image as the network's test images were (<see cref="PackedModel.Preparation"/>), and normalises.</summary>
    /// <remarks>Byte for byte what the training's evaluation makes of it.</remarks>
    /// <param name="model">The network's model.</param>
    /// <param name="rgb">height × width × 3 bytes: R, G and B of a pixel side by side.</param>
    /// <param name="height">Rows of the image.</param>
    /// <param name="width">Columns of the image.</param>
    /// <returns>3×H×W.</returns>
    /// <exception cref="ArgumentException">
    /// There are not as many bytes, the network takes images of another number of channels, or the image is so long and thin that it would not fit into
    /// memory once it is resized.
    /// </exception>
    public static float[] Of(PackedModel model, ReadOnlySpan<byte> rgb, int height, int width)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (rgb.Length != (decimal)RgbImage.Channels * width * height)
            throw new ArgumentException($"{rgb.Length} bytes are no {height}×{width} pixels of three bytes.", nameof(rgb));
        if (model.Mean.Count != RgbImage.Channels)
            throw new ArgumentException($"The network takes images of {model.Mean.Count} channels, not of red, green and blue.", nameof(model));
        foreach (var step in Steps(model)) rgb = Do(step, rgb, ref height, ref width);
        var image = new float[rgb.Length];
        RgbImage.Normalise(rgb, [.. model.Mean], [.. model.Deviation], image);
        return image;
    }

    /// <summary>Where the test images had the network's size, others are resized until they just cover it.</summary>
    private static IEnumerable<ImageStep> Steps(PackedModel model) => model.Preparation.Count > 0
        ? model.Preparation
        : [new(ImageStepKind.Cover, model.Height, model.Width), new(ImageStepKind.CentreCrop, model.Height, model.Width)];

    private static byte[] Do(ImageStep step, ReadOnlySpan<byte> pixels, ref int height, ref int width)
    {
        var (oldHeight, oldWidth) = (height, width);
        (width, height) = step.Kind == ImageStepKind.Cover ? RgbImage.CoveringSize(width, height, step.Width, step.Height) : (step.Width, step.Height);
        return step.Kind == ImageStepKind.CentreCrop
            ? RgbImage.Crop(pixels, oldWidth, oldHeight, RgbImage.CentreOffset(oldWidth, width), RgbImage.CentreOffset(oldHeight, height), width, height)
            : Bilinear.Resize(pixels, oldWidth, oldHeight, width, height);
    }
}
