using NormFree.Inference.Layers;
using NormFree.Kernels.Packed;

namespace NormFree.Inference.Plans;

/// <summary>Where the signs of a binary layer's input lie.</summary>
/// <param name="Reader">The layer.</param>
/// <param name="Layout">How they lie.</param>
/// <param name="Region">Their memory, border included.</param>
internal sealed record SignPlace(PreparedBinaryLayer Reader, SignLayout Layout, Region Region)
{
    /// <summary>The signs of a running image.</summary>
    public unsafe SignMap In(in Frame frame) => new(Layout, frame.Signs + Region.Start);
}
