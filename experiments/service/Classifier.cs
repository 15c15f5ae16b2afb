using NormFree.Data;
using NormFree.Inference;

namespace NormFree.Service;

/// <summary>A class with its probability.</summary>
internal sealed record Prediction(string Class, double Probability);

/// <summary>An image that cannot be classified; the message is for the client.</summary>
internal sealed class InvalidImageException(string message, int status = StatusCodes.Status422UnprocessableEntity) : Exception(message)
{
    public int Status { get; } = status;
}

/// <summary>Classifies image files: one per processor at a time, each on one thread. Further callers wait.</summary>
internal sealed class Classifier : IDisposable
{
    /// <summary>An image is enlarged until it covers the network's input: a narrow strip would become huge.</summary>
    private const int MaxAspectRatio = 20;

    private readonly PackedNetwork network;
    private readonly SemaphoreSlim processors = new(Environment.ProcessorCount);
    private readonly int maxPixels;

    /// <summary>Loads the network, and runs it once: the first run compiles its code and plans its memory.</summary>
    public Classifier(Settings settings)
    {
        network = PackedNetwork.Load(settings.Network, new PackedOptions { Threads = 1 });
        maxPixels = settings.MaxPixels;
        Classify(new byte[3 * network.Height * network.Width], network.Height, network.Width, CancellationToken.None);
    }

    public PackedNetwork Network => network;

    /// <summary>Decodes and classifies a file. The classes are ordered by probability.</summary>
    /// <exception cref="InvalidImageException">The file cannot be decoded, or the image is too large.</exception>
    /// <exception cref="OperationCanceledException">The client has gone.</exception>
    public async Task<IReadOnlyList<Prediction>> ClassifyAsync(byte[] file, CancellationToken cancellation)
    {
        await processors.WaitAsync(cancellation);
        try
        {
            var image = Decoded(file);
            return Classify(image.Pixels, image.Height, image.Width, cancellation);
        }
        finally
        {
            processors.Release();
        }
    }

    public void Dispose() => network.Dispose();

    /// <summary>The header is read first: a file of some kilobytes can hold an image of gigabytes.</summary>
    private Image Decoded(byte[] file)
    {
        if (file.Length == 0) throw new InvalidImageException("The body is empty: send the bytes of an image.", StatusCodes.Status400BadRequest);
        var size = Decode.size(file);
        if (size.IsError) throw new InvalidImageException($"The image cannot be decoded: {size.ErrorValue}.");
        var (width, height) = size.ResultValue;
        if ((long)width * height > maxPixels)
            throw new InvalidImageException($"The image has {width}×{height} pixels; the limit is {maxPixels}.", StatusCodes.Status413PayloadTooLarge);
        if (Math.Max(width, height) > MaxAspectRatio * Math.Min(width, height))
            throw new InvalidImageException($"The image has {width}×{height} pixels: its sides differ by a factor of more than {MaxAspectRatio}.");
        var image = Decode.image(file);
        return image.IsOk ? image.ResultValue : throw new InvalidImageException($"The image cannot be decoded: {image.ErrorValue}.");
    }

    private List<Prediction> Classify(byte[] rgb, int height, int width, CancellationToken cancellation)
    {
        var logits = new float[network.Classes];
        network.Run(ImageInput.Of(network.Model, rgb, height, width), logits, cancellation);
        var max = logits.Max();
        var powers = Array.ConvertAll(logits, logit => Math.Exp(logit - max));
        var sum = powers.Sum();
        return [.. network.ClassNames.Zip(powers, (name, power) => new Prediction(name, power / sum)).OrderByDescending(p => p.Probability)];
    }
}
