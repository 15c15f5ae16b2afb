using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Subtracts from every pixel the mean of its channels: x[p, c] ← x[p, c] − Σ x[p, k]/C. Maps are channels-last.</summary>
public abstract unsafe class ChannelCentering
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static ChannelCentering For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ChannelCentering<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ChannelCentering<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ChannelCentering<AdvSimdFloats, Vector128<float>>(),
        _ => new ChannelCentering<ScalarFloats, float>(),
    };

    /// <summary>Centers pixels in place.</summary>
    /// <param name="pixels">How many.</param>
    /// <param name="channels">Of a pixel.</param>
    /// <param name="values">pixels × channels.</param>
    public abstract void Pixels(int pixels, int channels, float* values);
}
