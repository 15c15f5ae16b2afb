using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace NormFree.Torch.Layers;

/// <summary>RPReLU, ReActNet's activation: a PReLU with a learnable origin per channel (Liu et al., "ReActNet", ECCV 2020, section 4.3, eq. 6).</summary>
/// <remarks>
/// Forward: y = u + b₂ for u = x + b₁ &gt; 0, else y = a·u + b₂. Backward: dx = dy for u &gt; 0, else a·dy; da = Σ u·dy over u ≤ 0; db₁ = Σ dx;
/// db₂ = Σ dy. Initial values: slopes 0.25, shifts 0.
/// </remarks>
public static class RPReLUActivation
{
    /// <summary>Applies the activation to <paramref name="x"/>.</summary>
    /// <param name="x">N×C×H×W.</param>
    /// <param name="shiftIn">b₁, 1×C×1×1.</param>
    /// <param name="slope">a, C values.</param>
    /// <param name="shiftOut">b₂, 1×C×1×1.</param>
    /// <returns>y, N×C×H×W.</returns>
    public static Tensor Apply(Tensor x, Tensor shiftIn, Tensor slope, Tensor shiftOut)
    {
        using var scope = NewDisposeScope();
        var shifted = LearnableShift.Apply(x, shiftIn);
        return LearnableShift.Apply(prelu(shifted, slope), shiftOut).MoveToOuterDisposeScope();
    }
}

/// <summary>A learnable shift per channel: the threshold of a sign or the origin of a PReLU (ReActNet, section 4.2).</summary>
/// <remarks>Forward: y = x + b. Backward: dx = dy, db = Σ dy over batch and map.</remarks>
public static class LearnableShift
{
    /// <summary>Shifts each channel of <paramref name="x"/> by <paramref name="bias"/>.</summary>
    /// <param name="x">N×C×H×W.</param>
    /// <param name="bias">b, 1×C×1×1.</param>
    /// <returns>y, N×C×H×W.</returns>
    public static Tensor Apply(Tensor x, Tensor bias) => x.Plus(bias);
}
