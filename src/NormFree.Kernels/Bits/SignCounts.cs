using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Bits;

/// <summary>How many signs of each channel of a map are +1.</summary>
/// <remarks>
/// <para>count(c) = Σₚ (β·x[p][c] + b[c] ≥ 0): signs as <see cref="SignPacking"/> has them, rounded twice; sign(0) = +1, NaN counts as −.</para>
/// <para>Reads 4 bytes a value, which is what bounds the time.</para>
/// </remarks>
public abstract unsafe class SignCounts
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static SignCounts For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new SignCounts<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new SignCounts<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new SignCounts<AdvSimdFloats, Vector128<float>>(),
        _ => new SignCounts<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static SignCounts Best { get; } = For(InstructionSets.Best);

    /// <summary>Counts a range of pixels; threads share the work by ranges.</summary>
    /// <param name="source">x, the first pixel's first value; pixels × C.</param>
    /// <param name="pixels">How many, at most 2²⁴: counts are kept as floats.</param>
    /// <param name="channels">C.</param>
    /// <param name="scale">β.</param>
    /// <param name="shift">b, C values.</param>
    /// <param name="counts">Written: C counts.</param>
    public abstract void Count(float* source, int pixels, int channels, float scale, float* shift, float* counts);
}
