using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>A convolution of binary maps with real filters: the forward pass of the first stage.</summary>
/// <remarks>
/// <para>y[p][o] = Σ_tap Σ_c w[o][tap][c]·x[p at tap][c], with x in {−1, +1} inside the map and 0 outside. Sums of four weights come from tables
/// (<c>SignTables</c>), which are made once for some filters and read by all pixels.</para>
/// <para><see cref="TapWords"/> say − where a pixel meets padding; the sum of the weights that were subtracted too much is added back.</para>
/// </remarks>
public abstract unsafe class SignMapProduct
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static SignMapProduct For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new SignMapProduct<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new SignMapProduct<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new SignMapProduct<AdvSimdFloats, Vector128<float>>(),
        _ => new SignMapProduct<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static SignMapProduct Best { get; } = For(InstructionSets.Best);

    /// <summary>Convolves the whole batch.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="words">The input's signs as <see cref="TapWords"/>.</param>
    /// <param name="filters">O × taps × C.</param>
    /// <param name="target">Output pixels × O, overwritten.</param>
    /// <param name="workers">Threads; the result does not depend on them.</param>
    public abstract void Compute(ConvolutionShape shape, uint* words, float* filters, float* target, IWorkers workers);
}
