using NormFree.Torch.Fused;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Telemetry;

/// <summary>Statistics of the input of a binary convolution, which computes sign(β·x + b). x is N×C×H×W, of any type, layout and device.</summary>
/// <remarks>Without gradients. The product is rounded before the sum, as in both engines; sign(0) is +1.</remarks>
public static class SignInput
{
    private static readonly long[] BatchAndPixels = [0, 2, 3];

    /// <summary>The signs: N×C×H×W booleans, true for +1.</summary>
    /// <param name="x">The input.</param>
    /// <param name="beta">β.</param>
    /// <param name="shift">b, 1×C×1×1; null for 0.</param>
    public static Tensor Signs(Tensor x, double beta, Tensor? shift)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return Shifted(x, beta, shift).IsAtLeast(0).MoveToOuterDisposeScope();
    }

    /// <summary>The exact fraction of +1 in each of the C channels.</summary>
    /// <inheritdoc cref="Signs"/>
    public static double[] PositiveFraction(Tensor x, double beta, Tensor? shift)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return FractionAtLeast(Shifted(x, beta, shift), 0);
    }

    /// <summary>The mean of each of the C channels of x, followed by the mean of all squares: C + 1 numbers. A batch's numbers are the means of
    /// its images' numbers.</summary>
    /// <param name="x">The input.</param>
    public static double[] Moments(Tensor x)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        if (ChannelsLast.IsMapOfFloats(x)) return MapMoments.Of(x);
        // The norm takes one pass over memory; a map of squares would take three.
        var norm = Values(x.norm().reshape(1))[0];
        return [.. Values(x.mean(BatchAndPixels)), norm * norm / x.numel()];
    }

    /// <summary>The mean of the squared means of the C channels of x.</summary>
    /// <param name="x">The input.</param>
    public static double MeanSquared(Tensor x)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return Values(x.mean(BatchAndPixels)).Average(mean => mean * mean);
    }

    /// <summary>All statistics that telemetry records.</summary>
    /// <inheritdoc cref="Signs"/>
    public static ChannelStatistics Statistics(Tensor x, double beta, Tensor? shift)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        using var mean = x.mean(BatchAndPixels, keepdim: true);
        using var centred = x - mean;
        var variance = Values(centred.mul_(centred).mean(BatchAndPixels));
        centred.Dispose(); // frees a whole map early
        var shifted = Shifted(x, beta, shift);
        var window = FractionAtLeast(shifted, -1).Average() - FractionAtLeast(shifted, 1).Average();
        return new ChannelStatistics(Values(mean), variance, FractionAtLeast(shifted, 0), window);
    }

    private static Tensor Shifted(Tensor x, double beta, Tensor? shift) =>
        shift is null ? x.Times(beta) : x.Times(beta).PlusInPlace(shift);

    /// <summary>The fraction of values that are at least <paramref name="least"/>, per channel.</summary>
    /// <remarks>Counts per image are far below 2²⁴, so that floats hold them exactly.</remarks>
    private static double[] FractionAtLeast(Tensor map, double least)
    {
        using var scope = NewDisposeScope();
        var perImage = map.IsAtLeast(least).to(ScalarType.Float32).sum([2, 3]);
        var count = (double)(map.numel() / map.size(1));
        return Array.ConvertAll(Values(perImage.to(ScalarType.Float64).sum([0])), sum => sum / count);
    }

    private static double[] Values(Tensor tensor)
    {
        using var scope = NewDisposeScope();
        return TensorMemory.Doubles(tensor);
    }
}

/// <summary>Statistics per channel of a binary convolution's input x, over batch and pixels. t = β·x + b is the argument of the sign.</summary>
/// <param name="Mean">C means of x.</param>
/// <param name="Variance">C biased variances of x.</param>
/// <param name="Positive">C exact fractions of t ≥ 0.</param>
/// <param name="Window">The fraction of −1 ≤ t &lt; 1 over all channels, where the gradient of the sign is not zero.</param>
public sealed record ChannelStatistics(double[] Mean, double[] Variance, double[] Positive, double Window);

/// <summary>The signs of a convolution's filters, whether or not they are binarised yet.</summary>
public static class FilterSigns
{
    /// <summary>The signs of the weights, or of the standardised weights; sign(0) is +1.</summary>
    /// <remarks>Standardisation divides by a positive number, which changes no sign and is omitted here.</remarks>
    /// <param name="weight">O×I×k×k.</param>
    /// <param name="standardised">Whether the convolution standardises its filters.</param>
    /// <returns>O×I×k×k booleans, true for +1.</returns>
    public static Tensor Of(Tensor weight, bool standardised)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var centred = standardised ? weight - weight.mean([1, 2, 3], keepdim: true) : weight;
        return centred.IsAtLeast(0).MoveToOuterDisposeScope();
    }

    /// <summary>The number of signs that differ.</summary>
    /// <param name="before">Booleans.</param>
    /// <param name="after">Booleans of the same shape.</param>
    public static long Flips(Tensor before, Tensor after)
    {
        using var scope = NewDisposeScope();
        return before.ne(after).count_nonzero().item<long>();
    }
}
