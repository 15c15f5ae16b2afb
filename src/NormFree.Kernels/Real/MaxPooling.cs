using System.Runtime.Intrinsics;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary>The largest value under a window, channel by channel; pixels outside the map do not count. Maps are channels-last.</summary>
public abstract unsafe class MaxPooling
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static MaxPooling For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new MaxPooling<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new MaxPooling<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new MaxPooling<AdvSimdFloats, Vector128<float>>(),
        _ => new MaxPooling<ScalarFloats, float>(),
    };

    /// <summary>Computes rows of the result. NaN counts as smaller than all others.</summary>
    /// <param name="shape">Windows, as those of a convolution with as many filters as channels; the batch does not matter.</param>
    /// <param name="firstRow">The first row of the result.</param>
    /// <param name="rows">How many.</param>
    /// <param name="source">The whole map.</param>
    /// <param name="result">rows × W' × C: where the first of these rows begins.</param>
    public abstract void Rows(in ConvolutionShape shape, int firstRow, int rows, float* source, float* result);
}
