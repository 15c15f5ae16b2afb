using NormFree.Spec;

/// <summary>Builds a network from C#.</summary>
internal static class OwnNetworkExample
{
    /// <summary>A stem, one residual block and a classifier.</summary>
    public static NetSpec Build()
    {
        var stem = Blocks.plain("", [Parts.conv("conv1", 3, 1, 32), Parts.norm("bn1")]);
        var layer = Blocks.residual("layer1", Shortcut.Identity, [Part.NewBinary(Parts.binary("conv", 3, 1, 32)), Parts.norm("bn")]);
        var net = Net.withClasses(10, Net.create("mine", [stem, layer, Classifier.pooled]));
        return net;
    }
}
