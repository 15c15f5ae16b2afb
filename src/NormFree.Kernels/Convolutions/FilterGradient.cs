using System.Runtime.Intrinsics;
using NormFree.Kernels.Lookup;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>The gradient of a convolution's filters where the input is binary.</summary>
/// <remarks>
/// <para>d[o][tap][c] = Σ_p dy[p][o]·x[p at tap][c], with x in {−1, +1} inside the map and 0 outside: real numbers times bits, summed over pixels.
/// Sums of four pixels' products come from tables (<c>SignTables</c>).</para>
/// <para><see cref="TapPlanes"/> say − where a pixel meets padding; what that subtracts too much is the same for all channels, and is added back.</para>
/// </remarks>
public abstract unsafe class FilterGradient
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static FilterGradient For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new FilterGradient<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new FilterGradient<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new FilterGradient<AdvSimdFloats, Vector128<float>>(),
        _ => new FilterGradient<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static FilterGradient Best { get; } = For(InstructionSets.Best);

    /// <summary>Computes the gradient.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="outputGradient">dy, output pixels × O.</param>
    /// <param name="planes">The input's signs as <see cref="TapPlanes"/>.</param>
    /// <param name="target">O × taps × C, overwritten.</param>
    /// <param name="workers">Threads; the result does not depend on them.</param>
    public abstract void Compute(ConvolutionShape shape, float* outputGradient, uint* planes, float* target, IWorkers workers);
}
