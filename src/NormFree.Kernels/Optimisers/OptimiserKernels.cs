using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Optimisers;

/// <summary>What happens to all parameters and gradients at the end of a training step: each call is one parallel region over all tensors.</summary>
/// <remarks>
/// Memory bounds all of them; the bytes are given for N values of four bytes. A value, or a unit, is worked on by one thread alone: results depend
/// on neither the threads nor the cut into pieces. Addresses need not be aligned.
/// </remarks>
public abstract class OptimiserKernels
{
    /// <summary>The kernels for the fastest instruction set of this processor.</summary>
    public static OptimiserKernels Best { get; } = For(InstructionSets.Best);

    /// <summary>The kernels for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static OptimiserKernels For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new OptimiserKernels<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new OptimiserKernels<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new OptimiserKernels<AdvSimdFloats, Vector128<float>>(),
        _ => new OptimiserKernels<ScalarFloats, float>(),
    };

    /// <summary>Adaptive gradient clipping: g ← g·max(‖p‖, p_min)·λ / max(‖g‖, g_min) for every unit with ‖g‖ ≥ max(‖p‖, p_min)·λ; bounds as in <see cref="AgcLimits"/>.</summary>
    /// <remarks>Reads 8·N bytes, and writes four for each value of a clipped unit, which is in the cache then. Brock et al., ICML 2021, eq. 3.</remarks>
    /// <param name="tensors">Parameters and gradients.</param>
    /// <param name="factor">λ.</param>
    /// <param name="workers">Threads.</param>
    /// <returns>Clipped units of each tensor.</returns>
    public abstract long[] Clip(ReadOnlySpan<ClippedTensor> tensors, double factor, IWorkers workers);

    /// <summary>√Σx² of every tensor. Not finite where a value is not, or where its square is beyond a float.</summary>
    /// <remarks>Reads 4·N bytes. Blocks are summed in floats, their sums in double precision and in the same order for any number of threads.</remarks>
    /// <param name="tensors">Values.</param>
    /// <param name="workers">Threads.</param>
    public abstract double[] Norms(ReadOnlySpan<FloatTensor> tensors, IWorkers workers);

    /// <summary>m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; p ← p − rate·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε).</summary>
    /// <remarks>Reads 16·N bytes and writes 12·N. Kingma and Ba, ICLR 2015; decoupled: Loshchilov and Hutter, ICLR 2019.</remarks>
    /// <param name="tensors">Parameters, gradients and state.</param>
    /// <param name="step">The numbers of this step.</param>
    /// <param name="workers">Threads.</param>
    public abstract void Adam(ReadOnlySpan<OptimisedTensor> tensors, AdamStep step, IWorkers workers);

    /// <summary>b ← momentum·b + g; p ← p − rate·(g + momentum·b): gradient descent with Nesterov's momentum. Weight decay·p is added to g first.</summary>
    /// <remarks>Reads 12·N bytes and writes 8·N.</remarks>
    /// <param name="tensors">Parameters, gradients and momentum buffers.</param>
    /// <param name="rate">Learning rate.</param>
    /// <param name="momentum">From 0 to below 1.</param>
    /// <param name="workers">Threads.</param>
    public abstract void Descend(ReadOnlySpan<OptimisedTensor> tensors, double rate, double momentum, IWorkers workers);
}
