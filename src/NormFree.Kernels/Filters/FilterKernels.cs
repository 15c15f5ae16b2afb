using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Filters;

/// <summary>Computes a convolution's filters from its latent weight in each training step, and the gradients of the weight and gain.</summary>
/// <remarks>
/// <para>Each filter is read from memory once; further passes over it hit the first-level cache. The bytes below, for N float32 weights, therefore bound the
/// time. Each filter is processed by one task, so that results do not depend on the threads. Sums are float32 in blocks of 512 and double precision
/// across blocks.</para>
/// <para>Pointers need no alignment. They must not be null unless stated.</para>
/// </remarks>
public abstract unsafe class FilterKernels
{
    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static FilterKernels Best { get; } = For(InstructionSets.Best);

    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static FilterKernels For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new FilterKernels<Avx512Floats, Avx512Signs, Vector512<float>>(),
        InstructionSet.Avx2 => new FilterKernels<Avx2Floats, Avx2Signs, Vector256<float>>(),
        InstructionSet.AdvSimd => new FilterKernels<AdvSimdFloats, AdvSimdSigns, Vector128<float>>(),
        _ => new FilterKernels<ScalarFloats, ScalarSigns, float>(),
    };

    /// <summary>Computes binary filters: scale = factor·gain·s, and the signs of v.</summary>
    /// <remarks>Reads 4·N bytes and writes N/8.</remarks>
    /// <param name="bank">Sizes and standardisation.</param>
    /// <param name="weight">w, O×I×taps.</param>
    /// <param name="gain">O values; null for 1.</param>
    /// <param name="statistics">Output for the backward pass, O values.</param>
    /// <param name="scale">Output, O values.</param>
    /// <param name="signs">Output, <see cref="FilterBank.SignWords"/> values.</param>
    /// <param name="workers">Threads.</param>
    public abstract void BinaryForward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* scale, ulong* signs, IWorkers workers);

    /// <summary>Computes float filters: factor·gain·v.</summary>
    /// <remarks>Reads 4·N bytes and writes 4·N, which the processor also reads first.</remarks>
    /// <param name="bank">Sizes and standardisation.</param>
    /// <param name="weight">w, O×I×taps.</param>
    /// <param name="gain">O values; null for 1.</param>
    /// <param name="statistics">Output for the backward pass, O values.</param>
    /// <param name="filters">Output, N values.</param>
    /// <param name="layout">Layout of <paramref name="filters"/>.</param>
    /// <param name="workers">Threads.</param>
    public abstract void RealForward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* filters, FilterLayout layout, IWorkers workers);

    /// <summary>Computes the gradients through binary filters. The straight-through estimator passes −1 ≤ v ≤ 1; s is treated as a constant.</summary>
    /// <remarks>
    /// <para>With g the gradient of the filters: dgain = factor·s·Σ g·sign(v); dv = factor·gain·g where −1 ≤ v ≤ 1, else 0. Without standardisation dw = dv.
    /// Standardised weights have |v| ≤ √((n − 1)/n) &lt; 1, so nothing is clipped, and with r = 1/((σ + ε)·√n):
    /// dw = r·(dv − mean(dv)) − (w − mean)·r·Σ dv·(w − mean) / ((σ + ε)·n·σ).</para>
    /// <para>Reads 8·N bytes and writes 4·N, which the processor also reads first.</para>
    /// </remarks>
    /// <param name="bank">As in the forward pass.</param>
    /// <param name="weight">As in the forward pass.</param>
    /// <param name="gain">As in the forward pass.</param>
    /// <param name="statistics">From the forward pass.</param>
    /// <param name="filterGradient">g, N values.</param>
    /// <param name="layout">Layout of <paramref name="filterGradient"/>.</param>
    /// <param name="weightGradient">Output, overwritten: dw, O×I×taps; may be <paramref name="filterGradient"/> if that has the same layout.</param>
    /// <param name="gainGradient">Output: dgain, O values; null if there is no gain.</param>
    /// <param name="workers">Threads.</param>
    public abstract void BinaryBackward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* filterGradient, FilterLayout layout,
        float* weightGradient, float* gainGradient, IWorkers workers);

    /// <summary>Computes the gradients through float filters: dv = factor·gain·g, dgain = factor·Σ g·v, then dw through the standardisation.</summary>
    /// <inheritdoc cref="BinaryBackward"/>
    public abstract void RealBackward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* filterGradient, FilterLayout layout,
        float* weightGradient, float* gainGradient, IWorkers workers);
}

/// <inheritdoc/>
internal sealed unsafe class FilterKernels<TFloats, TSigns, TVector> : FilterKernels
    where TFloats : struct, IFloatVectors<TVector>
    where TSigns : struct, ISignVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void BinaryForward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* scale, ulong* signs, IWorkers workers) =>
        workers.Run(bank.Tasks, task =>
        {
            var words = bank.Words * bank.Taps;
            var bits = Scratch.OfThread((words + bank.Taps) * sizeof(ulong) + 63).Take<ulong>(words + bank.Taps);
            var masks = bits + words;
            SignReorder.Masks(masks, bank.Taps);
            for (var (o, end) = Range(bank, task); o < end; o++)
            {
                var filter = weight + (long)o * bank.Size;
                var (mean, deviation) = Moments(bank, filter);
                new Span<ulong>(bits, words).Clear(); // bits past the last channel
                var absoluteSum = FilterSums<TFloats, TSigns, TVector>.AbsoluteSumAndSigns(filter, bank.Size, mean, bits);
                var target = signs + (long)o * words;
                if (Bmi2.X64.IsSupported && TFloats.Lanes > 1) SignReorder.Pext(bits, target, bank.Words, bank.Taps, masks);
                else SignReorder.Scalar(bits, target, bank.Words, bank.Taps);
                var moments = new FilterStatistics(mean, deviation, 0);
                var meanAbsolute = moments.Normaliser(bank) * absoluteSum / bank.Size;
                statistics[o] = moments with { MeanAbsolute = (float)meanAbsolute };
                scale[o] = (float)(Multiplier(bank, gain, o) * meanAbsolute);
            }
        });

    /// <inheritdoc/>
    public override void RealForward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* filters, FilterLayout layout, IWorkers workers) =>
        workers.Run(bank.Tasks, task =>
        {
            var reordered = layout == FilterLayout.ChannelsLast && bank.Taps > 1;
            var scratch = reordered ? Scratch.OfThread(bank.Size * sizeof(float) + 63).Take<float>(bank.Size) : null;
            for (var (o, end) = Range(bank, task); o < end; o++)
            {
                var filter = weight + (long)o * bank.Size;
                var target = filters + (long)o * bank.Size;
                var (mean, deviation) = Moments(bank, filter);
                statistics[o] = new FilterStatistics(mean, deviation, 0);
                var factor = (float)(Multiplier(bank, gain, o) * statistics[o].Normaliser(bank));
                Centre(filter, reordered ? scratch : target, bank.Size, mean, factor);
                if (reordered) WeightReorder.ToChannelsLast(scratch, target, bank.In, bank.Taps, TFloats.Lanes > 1);
            }
        });

    /// <inheritdoc/>
    public override void BinaryBackward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* filterGradient, FilterLayout layout,
        float* weightGradient, float* gainGradient, IWorkers workers) =>
        Backward(bank, weight, gain, statistics, filterGradient, layout, weightGradient, gainGradient, workers, binary: true);

    /// <inheritdoc/>
    public override void RealBackward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* filterGradient, FilterLayout layout,
        float* weightGradient, float* gainGradient, IWorkers workers) =>
        Backward(bank, weight, gain, statistics, filterGradient, layout, weightGradient, gainGradient, workers, binary: false);

    private static void Backward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* filterGradient, FilterLayout layout,
        float* weightGradient, float* gainGradient, IWorkers workers, bool binary) =>
        workers.Run(bank.Tasks, task =>
        {
            var reordered = layout == FilterLayout.ChannelsLast && bank.Taps > 1;
            var scratch = reordered ? Scratch.OfThread(bank.Size * sizeof(float) + 63).Take<float>(bank.Size) : null;
            for (var (o, end) = Range(bank, task); o < end; o++)
            {
                var filter = weight + (long)o * bank.Size;
                var g = filterGradient + (long)o * bank.Size;
                var dw = weightGradient + (long)o * bank.Size;
                if (reordered)
                {
                    WeightReorder.ToContiguous(g, scratch, bank.In, bank.Taps, TFloats.Lanes > 1);
                    g = scratch;
                }
                var (mean, deviation, meanAbsolute) = statistics[o];
                var (normaliser, multiplier) = (statistics[o].Normaliser(bank), Multiplier(bank, gain, o));
                var (sum, weighted, signed) = bank.Standardised || gainGradient != null
                    ? FilterSums<TFloats, TSigns, TVector>.Gradient(filter, g, bank.Size, mean)
                    : default;
                if (gainGradient != null) gainGradient[o] = (float)(bank.Factor * (binary ? meanAbsolute * signed : normaliser * weighted));
                var slope = multiplier * normaliser;
                // For a filter of equal weights σ is the constant lower limit, which has no gradient.
                var sigmaSlope = deviation > (float)FilterStatistics.MinStandardDeviation
                    ? -slope * weighted / ((deviation + FilterStatistics.Epsilon) * bank.Size * deviation)
                    : 0;
                if (bank.Standardised) ThroughStandardisation(filter, g, dw, bank.Size, mean, sum / bank.Size, slope, sigmaSlope);
                else if (binary) StraightThrough(filter, g, dw, bank.Size, (float)slope);
                else Centre(g, dw, bank.Size, 0, (float)slope);
            }
        });

    /// <summary>The filters of a task.</summary>
    private static (int First, int End) Range(in FilterBank bank, int task) =>
        (task * bank.FiltersPerTask, Math.Min(bank.Out, (task + 1) * bank.FiltersPerTask));

    private static double Multiplier(in FilterBank bank, float* gain, int filter) => (double)bank.Factor * (gain == null ? 1 : gain[filter]);

    private static (float Mean, float Deviation) Moments(in FilterBank bank, float* filter) =>
        bank.Standardised ? FilterSums<TFloats, TSigns, TVector>.MeanAndDeviation(filter, bank.Size) : default;

    /// <summary>y = (x − mean)·factor.</summary>
    private static void Centre(float* x, float* y, int count, float mean, float factor)
    {
        var (means, factors) = (TFloats.Broadcast(mean), TFloats.Broadcast(factor));
        var i = 0;
        for (; i <= count - TFloats.Lanes; i += TFloats.Lanes)
            TFloats.Store(TFloats.Multiply(TFloats.Subtract(TFloats.Load(x + i), means), factors), y + i);
        for (; i < count; i++) y[i] = (x[i] - mean) * factor;
    }

    /// <summary>dw = slope·g where −1 ≤ w ≤ 1, else 0.</summary>
    private static void StraightThrough(float* w, float* g, float* dw, int count, float slope)
    {
        var (slopes, zero, one) = (TFloats.Broadcast(slope), TFloats.Broadcast(0), TFloats.Broadcast(1));
        var i = 0;
        for (; i <= count - TFloats.Lanes; i += TFloats.Lanes)
        {
            var outside = TFloats.LessThan(one, TFloats.Abs(TFloats.Load(w + i)));
            TFloats.Store(TFloats.Select(outside, zero, TFloats.Multiply(slopes, TFloats.Load(g + i))), dw + i);
        }
        for (; i < count; i++) dw[i] = 1 < Math.Abs(w[i]) ? 0 : slope * g[i];
    }

    /// <summary>dw = slope·(g − centre) + sigmaSlope·(w − mean).</summary>
    private static void ThroughStandardisation(
        float* w, float* g, float* dw, int count, float mean, double centre, double slope, double sigmaSlope)
    {
        var (means, centres) = (TFloats.Broadcast(mean), TFloats.Broadcast((float)centre));
        var (slopes, sigmaSlopes) = (TFloats.Broadcast((float)slope), TFloats.Broadcast((float)sigmaSlope));
        var i = 0;
        for (; i <= count - TFloats.Lanes; i += TFloats.Lanes)
        {
            var direct = TFloats.Multiply(slopes, TFloats.Subtract(TFloats.Load(g + i), centres));
            TFloats.Store(TFloats.MultiplyAdd(sigmaSlopes, TFloats.Subtract(TFloats.Load(w + i), means), direct), dw + i);
        }
        for (; i < count; i++) dw[i] = (float)(slope * (g[i] - centre) + sigmaSlope * (w[i] - mean));
    }
}
