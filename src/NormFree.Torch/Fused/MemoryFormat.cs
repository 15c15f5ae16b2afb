using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The order of a map's values in memory.</summary>
public static class MemoryFormat
{
    /// <summary>A map (N×C×H×W) whose memory runs over pixels first and channels last; without a copy where it does already.</summary>
    public static Tensor ChannelsLast(Tensor map) => Fused.ChannelsLast.Of(map);
}
