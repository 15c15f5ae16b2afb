using NormFree.Kernels.Activations;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The mean of each channel of a map, and the mean of all squares, in one pass over memory.</summary>
internal static unsafe class MapMoments
{
    /// <summary>The moments of a channels-last map of float32, N×C×H×W: C + 1 numbers.</summary>
    public static double[] Of(Tensor x)
    {
        int channels = (int)x.size(1), pixels = (int)(x.numel() / channels);
        var values = TensorMemory.Floats(x);
        using var sums = new PartialSums(Pixels.Tasks(pixels, channels), 2 * channels);
        Pixels.ForEach(pixels, channels, (task, first, count) =>
            ChannelMoments.Best.Sum(count, channels, values + (long)first * channels, sums.Of(task)));
        GC.KeepAlive(x);
        var moments = new double[channels + 1];
        for (var channel = 0; channel < channels; channel++)
        {
            moments[channel] = sums.Total(channel) / pixels;
            moments[channels] += sums.Total(channels + channel) / x.numel();
        }
        return moments;
    }
}
