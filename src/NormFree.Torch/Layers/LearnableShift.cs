using static TorchSharp.torch;

namespace NormFree.Torch.Layers;

/// <summary>A learnable shift of every channel: the threshold of a sign, or the origin of a PReLU (ReActNet, section 4.2).</summary>
/// <remarks>Forward: y = x + b. Backward: dx = dy, db = Σ dy over batch and map.</remarks>
public static class LearnableShift
{
    /// <summary>Shifts each channel of <paramref name="x"/> (N×C×H×W) by <paramref name="bias"/> (1×C×1×1).</summary>
    public static Tensor Apply(Tensor x, Tensor bias) => x.Plus(bias);
}
