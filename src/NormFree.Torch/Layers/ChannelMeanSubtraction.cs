using static TorchSharp.torch;

namespace NormFree.Torch.Layers;

/// <summary>Subtracts from every pixel the mean of its channels.</summary>
/// <remarks>
/// Forward: y = x − mean(x) over the channels. Backward: dx = dy − mean(dy) over the channels. A convolution of y with filters w is one of x with
/// filters w − mean(w), and so are its gradients.
/// </remarks>
public static class ChannelMeanSubtraction
{
    /// <summary>Centers a map, N×C×H×W.</summary>
    public static Tensor Apply(Tensor x)
    {
        using var mean = x.mean([1], keepdim: true);
        return x - mean;
    }
}
