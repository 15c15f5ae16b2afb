using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Maps whose memory runs over pixels first and channels last: N×C×H×W tensors with the order of N×H×W×C.</summary>
public static class ChannelsLast
{
    /// <summary>A map without values.</summary>
    internal static Tensor Empty(long batch, long channels, long height, long width, ScalarType type = ScalarType.Float32) =>
        empty_strided(
            [batch, channels, height, width], [channels * height * width, 1, width * channels, channels], dtype: type);

    /// <summary>The map itself where it is channels-last already, else a copy that is. To be disposed either way.</summary>
    public static Tensor Of(Tensor map) => Is(map) ? map.alias() : Copy(map);

    private static bool Is(Tensor map)
    {
        long channels = map.size(1), height = map.size(2), width = map.size(3);
        // Strides of axes of length 1 say nothing.
        return Fits(map, 1, 1) && Fits(map, 3, channels) && Fits(map, 2, channels * width) && Fits(map, 0, channels * width * height);
    }

    private static bool Fits(Tensor map, int axis, long stride) => map.size(axis) == 1 || map.stride(axis) == stride;

    private static Tensor Copy(Tensor map)
    {
        using var scope = NewDisposeScope();
        return map.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).MoveToOuterDisposeScope();
    }
}
