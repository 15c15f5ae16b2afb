using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>PyTorch's channels_last memory format: N×C×H×W tensors stored in N×H×W×C order.</summary>
public static class ChannelsLast
{
    /// <summary>An uninitialised channels-last tensor.</summary>
    internal static Tensor Empty(long batch, long channels, long height, long width, ScalarType type = ScalarType.Float32) =>
        empty_strided(
            [batch, channels, height, width], [channels * height * width, 1, width * channels, channels], dtype: type);

    /// <summary>An alias of the map if it is channels-last, else a channels-last copy. The caller disposes it in both cases.</summary>
    public static Tensor Of(Tensor map) => Is(map) ? map.alias() : Copy(map);

    /// <summary>Whether kernels can read the map without a copy: channels-last float32 on the CPU.</summary>
    internal static bool IsMapOfFloats(Tensor map) => TensorMemory.IsFloatsOnCpu(map) && map.ndim == 4 && Is(map);

    private static bool Is(Tensor map)
    {
        long channels = map.size(1), height = map.size(2), width = map.size(3);
        return Fits(map, 1, 1) && Fits(map, 3, channels) && Fits(map, 2, channels * width) && Fits(map, 0, channels * width * height);
    }

    /// <summary>The stride of an axis of length 1 is arbitrary.</summary>
    private static bool Fits(Tensor map, int axis, long stride) => map.size(axis) == 1 || map.stride(axis) == stride;

    private static Tensor Copy(Tensor map)
    {
        using var scope = NewDisposeScope();
        return map.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).MoveToOuterDisposeScope();
    }
}
