using NormFree.Inference;
using NormFree.Zoo;

namespace NormFree.Examples;

/// <summary>The C# block of docs/zoo.md, which must compile.</summary>
internal static class Pretrained
{
    public static void Show(byte[] rgb, int height, int width)
    {
        using var network = PackedNetwork.Pretrained("cifar10-reactnet18");
        var logits = new float[network.Classes];
        network.Run(ImageInput.Of(network.Model, rgb, height, width), logits);
        Console.WriteLine($"{network.ClassNames[Array.IndexOf(logits, logits.Max())]}, {ModelZoo.Card("cifar10-reactnet18").Accuracy.Top1():P1} on the test set");
    }
}
