using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace NormFree.Torch.Native;

/// <summary>Protects convolutions from a fault of oneDNN 3.7.1, which libtorch 2.10 contains.</summary>
/// <remarks>
/// Where a processor does not report the size of its caches, as AMD's in some virtual machines, oneDNN does not clear the channels that it adds when it
/// rounds a planar map's channels up to a multiple of 16 (<c>prb_block_for_cache</c> of its <c>jit_uni_reorder</c>). Convolutions and their gradients then
/// contain whatever was in that memory. The first convolution with such channels compares a result with float64, and disables oneDNN if they differ.
/// </remarks>
internal static class OneDnn
{
    private const int Block = 16;

    private static readonly Lazy<bool> Usable = new(IsUsable);

    /// <summary>Call this before a convolution of <paramref name="x"/> (N×C×H×W) with <paramref name="filters"/> filters.</summary>
    /// <exception cref="PlatformNotSupportedException">The convolution would be wrong.</exception>
    public static void Check(Tensor x, long filters)
    {
        if (!IsPadded(x, filters) || x.dtype == ScalarType.Float64 || x.device_type != DeviceType.CPU || Usable.Value) return;
        throw new PlatformNotSupportedException(
            $"libtorch's convolutions are wrong on this processor if the number of channels is not a multiple of {Block} "
            + "(oneDNN 3.7.1 needs the sizes of its caches). Use such numbers of channels, or another machine.");
    }

    /// <summary>Whether the forward pass rounds up the channels of x, or the backward pass those of the result. The forward pass does not for images of up to
    /// 3 channels.</summary>
    private static bool IsPadded(Tensor x, long filters) => x.size(1) > 3 && x.size(1) % Block != 0 || x.requires_grad && filters % Block != 0;

    private static bool IsUsable()
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        return IsExact() || TorchContext.DisableOneDnn();
    }

    /// <summary>Whether convolutions of 24 planar channels are those of float64.</summary>
    /// <remarks>Memory that happens to be 0 would hide the fault, so memory of the padded size is filled with NaN and released first.</remarks>
    private static bool IsExact()
    {
        const int batch = 2, channels = 24, height = 6, width = 5;
        using var weight = ones([channels, channels, 3, 3]);
        using var x = ones([batch, channels, height, width]);
        using var expected = Convolve(x.to(ScalarType.Float64), weight.to(ScalarType.Float64));
        for (var round = 0; round < 4; round++)
        {
            for (var i = 0; i < 4; i++) full([batch, 2 * Block, height, width], float.NaN).Dispose();
            using var y = Convolve(x, weight);
            if (!y.to(ScalarType.Float64).allclose(expected)) return false;
        }
        return true;
    }

    private static Tensor Convolve(Tensor x, Tensor weight) => conv2d(x, weight, padding: [1, 1]);
}
