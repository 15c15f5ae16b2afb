using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Counts of a binary convolution as real numbers: value = scale·count, channel by channel.</summary>
public abstract unsafe class ScaledCounts
{
    /// <summary>The implementation for an instruction set.</summary>
    public static ScaledCounts For(InstructionSet set) => set switch
    {
        InstructionSet.Avx512 => new ScaledCounts<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ScaledCounts<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ScaledCounts<AdvSimdFloats, Vector128<float>>(),
        _ => new ScaledCounts<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static ScaledCounts Best { get; } = For(InstructionSets.Best);

    /// <summary>Converts and multiplies.</summary>
    /// <param name="pixels">How many.</param>
    /// <param name="channels">How many.</param>
    /// <param name="counts">pixels × channels.</param>
    /// <param name="scale">One factor a channel.</param>
    /// <param name="values">pixels × channels.</param>
    public abstract void Convert(int pixels, int channels, int* counts, float* scale, float* values);
}
