using System.Runtime.InteropServices.JavaScript;
using System.Runtime.Versioning;
using NormFree.Inference;
using NormFree.Inference.Files;

[assembly: SupportedOSPlatform("browser")]

namespace NormFree.Browser;

/// <summary>The packed engine, as functions for JavaScript. Exceptions become JavaScript errors with the same message.</summary>
internal static partial class Engine
{
    private static PackedNetwork? network;

    private static void Main()
    {
    }

    /// <summary>Loads a packed network. Returns its class names.</summary>
    [JSExport]
    internal static string[] Load(byte[] file, string name)
    {
        using var stream = new MemoryStream(file);
        var loaded = PackedNetwork.From(PackedFile.Read(stream, name));
        network?.Dispose();
        network = loaded;
        return [.. network.ClassNames];
    }

    /// <summary>Probabilities of the classes for an image of height × width × 3 bytes.</summary>
    [JSExport]
    internal static double[] Classify(byte[] rgb, int height, int width)
    {
        if (network is null) throw new InvalidOperationException("Drop a packed network first.");
        var logits = new float[network.Classes];
        network.Run(ImageInput.Of(network.Model, rgb, height, width), logits);
        return Softmax(logits);
    }

    private static double[] Softmax(float[] logits)
    {
        var max = logits.Max();
        var powers = Array.ConvertAll(logits, logit => Math.Exp(logit - max));
        var sum = powers.Sum();
        return Array.ConvertAll(powers, power => power / sum);
    }
}
