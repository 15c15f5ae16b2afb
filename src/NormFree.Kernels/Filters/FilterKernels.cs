using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Filters;

/// <summary>What happens to a convolution's weight in every training step, once forward and once backward, filter by filter.</summary>
/// <remarks>
/// <para>Each filter is read from memory once; further passes over it find it in the first-level cache. So the bytes below, for N weights of four
/// bytes, are what bounds the time. Filters are shared out among the workers, and a filter is worked on by one alone: results do not depend on
/// the threads. Sums are made of blocks of 512 floats, which are added in double precision.</para>
/// <para>Pointers need not be aligned, and none may be null unless it says so.</para>
/// </remarks>
public abstract unsafe class FilterKernels
{
    /// <summary>The kernels for the fastest instruction set of this processor.</summary>
    public static FilterKernels Best { get; } = For(InstructionSets.Best);

    /// <summary>The kernels for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static FilterKernels For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new FilterKernels<Avx512Floats, Avx512Signs, Vector512<float>>(),
        InstructionSet.Avx2 => new FilterKernels<Avx2Floats, Avx2Signs, Vector256<float>>(),
        InstructionSet.AdvSimd => new FilterKernels<AdvSimdFloats, AdvSimdSigns, Vector128<float>>(),
        _ => new FilterKernels<ScalarFloats, ScalarSigns, float>(),
    };

    /// <summary>Makes binary filters: scale = factor·gain·s, and the signs of v.</summary>
    /// <remarks>Reads 4·N bytes and writes N/8.</remarks>
    /// <param name="bank">Sizes, and whether v is standardised.</param>
    /// <param name="weight">w, O×I×taps.</param>
    /// <param name="gain">O values; null for 1.</param>
    /// <param name="statistics">Written: O values, for the backward pass.</param>
    /// <param name="scale">Written: O values.</param>
    /// <param name="signs">Written: <see cref="FilterBank.SignWords"/> values.</param>
    /// <param name="workers">Threads.</param>
    public abstract void Binary(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* scale, ulong* signs, IWorkers workers);

    /// <summary>Makes real filters: factor·gain·v.</summary>
    /// <remarks>Reads 4·N bytes and writes as many (which the processor reads first).</remarks>
    /// <param name="bank">Sizes, and whether v is standardised.</param>
    /// <param name="weight">w, O×I×taps.</param>
    /// <param name="gain">O values; null for 1.</param>
    /// <param name="statistics">Written: O values, for the backward pass.</param>
    /// <param name="used">Written: N values.</param>
    /// <param name="order">Of <paramref name="used"/>.</param>
    /// <param name="workers">Threads.</param>
    public abstract void Real(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* used, FilterOrder order, IWorkers workers);

    /// <summary>The gradients of binary filters: straight through the sign where −1 ≤ v ≤ 1; s counts as a constant.</summary>
    /// <remarks>
    /// <para>With g the gradient with respect to the used filter: dgain = factor·s·Σ g·sign(v); dv = factor·gain·g where −1 ≤ v ≤ 1, else 0. Plain
    /// filters have dw = dv. Standardised ones have |v| ≤ √((n − 1)/n) &lt; 1, so nothing is cut off, and with r = 1/((σ + ε)·√n):
    /// dw = r·(dv − mean(dv)) − (w − mean)·r·Σ dv·(w − mean) / ((σ + ε)·n·σ).</para>
    /// <para>Reads 8·N bytes and writes 4·N (which the processor reads first).</para>
    /// </remarks>
    /// <param name="bank">As in the forward pass.</param>
    /// <param name="weight">As in the forward pass.</param>
    /// <param name="gain">As in the forward pass.</param>
    /// <param name="statistics">From the forward pass.</param>
    /// <param name="used">g, N values.</param>
    /// <param name="order">Of <paramref name="used"/>.</param>
    /// <param name="weightGradient">Written, not added to: dw, O×I×taps; may be <paramref name="used"/> where its order is the same.</param>
    /// <param name="gainGradient">Written: dgain, O values; null where there is no gain.</param>
    /// <param name="workers">Threads.</param>
    public abstract void BinaryBackward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* used, FilterOrder order,
        float* weightGradient, float* gainGradient, IWorkers workers);

    /// <summary>The gradients of real filters: dv = factor·gain·g, dgain = factor·Σ g·v; then through mean and deviation.</summary>
    /// <inheritdoc cref="BinaryBackward"/>
    public abstract void RealBackward(
        FilterBank bank, float* weight, float* gain, FilterStatistics* statistics, float* used, FilterOrder order,
        float* weightGradient, float* gainGradient, IWorkers workers);
}
