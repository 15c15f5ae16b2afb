using NormFree.Inference;
using StbImageSharp;

namespace NormFree.Classify;

/// <summary>Classifies image files.</summary>
internal static class Picture
{
    /// <summary>The classes with their probabilities, most probable first.</summary>
    public static IEnumerable<(string Name, double Probability)> Classify(PackedNetwork network, string path)
    {
        var picture = Decode(path);
        var logits = new float[network.Classes];
        network.Run(ImageInput.Of(network.Model, picture.Data, picture.Height, picture.Width), logits);
        return network.ClassNames.Zip(Probabilities(logits)).OrderByDescending(prediction => prediction.Second);
    }

    private static ImageResult Decode(string path)
    {
        try
        {
            return ImageResult.FromMemory(File.ReadAllBytes(path), ColorComponents.RedGreenBlue);
        }
        catch (Exception error) when (error is not (IOException or UnauthorizedAccessException))
        {
            throw new InvalidOperationException($"{path} is not an image that can be decoded: {error.Message}", error);
        }
    }

    private static double[] Probabilities(float[] logits)
    {
        var top = logits.Max();
        var powers = Array.ConvertAll(logits, logit => Math.Exp(logit - top));
        var sum = powers.Sum();
        return Array.ConvertAll(powers, power => power / sum);
    }
}
