using NormFree.Inference.Model;
using NormFree.Kernels.Images;

namespace NormFree.Inference;

/// <summary>Converts decoded images to network inputs.</summary>
/// <example><code>
/// float[] image = ImageInput.Of(network.Model, rgb, height, width); // rgb: from any decoder
/// network.Run(image, logits);
/// </code></example>
public static class ImageInput
{
    /// <summary>Pixels that the steps may compute for one image: above this only extreme aspect ratios remain.</summary>
    private const long MaxPixels = 4L * PackedLimits.MaxPreprocessingPixels;

    /// <summary>Applies the network's preprocessing (<see cref="PackedModel.Preprocessing"/>) and normalises.</summary>
    /// <remarks>The result is bit-identical to that of evaluation during training.</remarks>
    /// <param name="model">The network's model.</param>
    /// <param name="rgb">height × width × 3 bytes, R, G and B interleaved.</param>
    /// <param name="height">Height of the image, in pixels.</param>
    /// <param name="width">Width of the image, in pixels.</param>
    /// <returns>3×H×W values.</returns>
    /// <exception cref="ArgumentException">
    /// The number of bytes does not match the size, the network does not take RGB images, or the image's aspect ratio is so extreme that resizing it would
    /// need too much memory.
    /// </exception>
    public static float[] Of(PackedModel model, ReadOnlySpan<byte> rgb, int height, int width)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (rgb.Length != (decimal)RgbImage.Channels * width * height)
            throw new ArgumentException($"{rgb.Length} bytes are not {height}×{width} pixels of three bytes.", nameof(rgb));
        if (model.Mean.Count != RgbImage.Channels)
            throw new ArgumentException($"The network takes images of {model.Mean.Count} channels, not of red, green and blue.", nameof(model));
        long pixels = 0;
        foreach (var step in Steps(model)) rgb = Apply(step, rgb, ref height, ref width, ref pixels);
        var image = new float[rgb.Length];
        RgbImage.Normalise(rgb, [.. model.Mean], [.. model.Deviation], image);
        return image;
    }

    /// <summary>Without steps, the test images had the network's size: other images are resized to cover it and cropped.</summary>
    private static IEnumerable<PreprocessingStep> Steps(PackedModel model) => model.Preprocessing.Count > 0
        ? model.Preprocessing
        : [new(PreprocessingKind.Cover, model.Height, model.Width), new(PreprocessingKind.CentreCrop, model.Height, model.Width)];

    private static byte[] Apply(PreprocessingStep step, ReadOnlySpan<byte> rgb, ref int height, ref int width, ref long pixels)
    {
        var (oldHeight, oldWidth) = (height, width);
        (width, height) = step.Kind == PreprocessingKind.Cover ? RgbImage.CoveringSize(width, height, step.Width, step.Height) : (step.Width, step.Height);
        if (step.Kind != PreprocessingKind.CentreCrop) RequireFew(pixels += (long)width * Math.Max(height, oldHeight), oldHeight, oldWidth);
        return step.Kind == PreprocessingKind.CentreCrop
            ? RgbImage.Crop(rgb, oldWidth, oldHeight, RgbImage.CentreOffset(oldWidth, width), RgbImage.CentreOffset(oldHeight, height), width, height)
            : Bilinear.Resize(rgb, oldWidth, oldHeight, width, height);
    }

    private static void RequireFew(long pixels, int height, int width)
    {
        if (pixels > MaxPixels)
            throw new ArgumentException(
                $"Resizing an image of {height}×{width} pixels needs more than {MaxPixels} pixels in between: crop it to less extreme proportions first.");
    }
}
