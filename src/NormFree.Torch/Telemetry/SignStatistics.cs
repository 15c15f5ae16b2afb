using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Telemetry;

/// <summary>Looks at the input of a binary convolution, which sees sign(β·x + b); x is N×C×H×W, of any type and memory format, on any device.</summary>
/// <remarks>Nothing is differentiated. The product is rounded, then the sum, as both engines do it; sign(0) counts as +1.</remarks>
public static class SignInput
{
    private static readonly long[] BatchAndPixels = [0, 2, 3];

    /// <summary>The signs: N×C×H×W booleans, true for +1.</summary>
    /// <param name="x">The input.</param>
    /// <param name="beta">β.</param>
    /// <param name="shift">b, 1×C×1×1.</param>
    public static Tensor Signs(Tensor x, double beta, Tensor shift)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return Shifted(x, beta, shift).IsAtLeast(0).MoveToOuterDisposeScope();
    }

    /// <summary>The share of +1 in each of the C channels, exact.</summary>
    /// <inheritdoc cref="Signs"/>
    public static double[] Positive(Tensor x, double beta, Tensor shift)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return Shares(Shifted(x, beta, shift), 0);
    }

    /// <summary>The mean of each of the C channels of x itself, and behind them the mean of all squares: C + 1 numbers, of which those of a batch
    /// are the means of its images' ones.</summary>
    /// <param name="x">The input.</param>
    public static double[] Moments(Tensor x)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        // One pass, where a map of squares would take three.
        var norm = Values(x.norm().reshape(1))[0];
        return [.. Values(x.mean(BatchAndPixels)), norm * norm / x.numel()];
    }

    /// <summary>All that telemetry tells of the input.</summary>
    /// <inheritdoc cref="Signs"/>
    public static ChannelStatistics Statistics(Tensor x, double beta, Tensor shift)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        using var mean = x.mean(BatchAndPixels, keepdim: true);
        using var centred = x - mean;
        var variance = Values(centred.mul_(centred).mean(BatchAndPixels));
        centred.Dispose(); // a map's worth of memory
        var shifted = Shifted(x, beta, shift);
        var window = Shares(shifted, -1).Average() - Shares(shifted, 1).Average();
        return new ChannelStatistics(Values(mean), variance, Shares(shifted, 0), window);
    }

    private static Tensor Shifted(Tensor x, double beta, Tensor shift) => x.Times(beta).PlusInPlace(shift);

    /// <summary>The share of values that are at least so large, channel by channel.</summary>
    /// <remarks>Counts of one image are far below 2²⁴, so that floats hold them exactly.</remarks>
    private static double[] Shares(Tensor map, double least)
    {
        using var scope = NewDisposeScope();
        var ofImages = map.IsAtLeast(least).to(ScalarType.Float32).sum([2, 3]);
        var count = (double)(map.numel() / map.size(1));
        return Array.ConvertAll(Values(ofImages.to(ScalarType.Float64).sum([0])), sum => sum / count);
    }

    private static double[] Values(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        return tensor.to(ScalarType.Float64).cpu().reshape(-1).data<double>().ToArray();
    }
}

/// <summary>What a binary convolution's input x looks like, by channel, over batch and pixels; t = β·x + b is what its sign is taken of.</summary>
/// <param name="Mean">C means of x.</param>
/// <param name="Variance">C variances of x, divided by the number of values.</param>
/// <param name="Positive">C shares of t ≥ 0, exact.</param>
/// <param name="Window">The share of −1 ≤ t &lt; 1 over all channels: where the sign's gradient is not zero.</param>
public sealed record ChannelStatistics(double[] Mean, double[] Variance, double[] Positive, double Window);

/// <summary>The signs of a convolution's filters: of what is binarised, or would be, where weights are still real.</summary>
public static class FilterSigns
{
    /// <summary>The signs of the weights, or of the standardised weights; sign(0) counts as +1.</summary>
    /// <remarks>Standardising divides by a positive number, which turns no sign: it is left out.</remarks>
    /// <param name="weight">O×I×k×k.</param>
    /// <param name="standardised">Whether the convolution standardises its filters.</param>
    /// <returns>O×I×k×k booleans, true for +1.</returns>
    public static Tensor Of(Tensor weight, bool standardised)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var binarised = standardised ? weight - weight.mean([1, 2, 3], keepdim: true) : weight;
        return binarised.IsAtLeast(0).MoveToOuterDisposeScope();
    }

    /// <summary>How many signs are not the same.</summary>
    /// <param name="before">Booleans.</param>
    /// <param name="after">As many.</param>
    public static long Flips(Tensor before, Tensor after)
    {
        using var scope = NewDisposeScope();
        return before.ne(after).count_nonzero().item<long>();
    }
}
