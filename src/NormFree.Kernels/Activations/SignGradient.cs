using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>The gradient of scale, shift and sign, in one pass.</summary>
/// <remarks>
/// With t = β·x + b and ds the gradient of sign(t): dt = (2 − 2·|t|)·ds where −1 ≤ t &lt; 1, else 0; dx = β·dt, plus the gradient that reaches x by
/// other ways; db = Σ dt. Liu et al., "Bi-Real Net" (ECCV 2018), eq. 5–6. t is rounded as the packing of the forward pass rounds it: after the
/// product and after the sum.
/// </remarks>
public abstract unsafe class SignGradient
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static SignGradient For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new SignGradient<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new SignGradient<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new SignGradient<AdvSimdFloats, Vector128<float>>(),
        _ => new SignGradient<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static SignGradient Best { get; } = For(InstructionSets.Best);

    /// <summary>Computes dx of some pixels, and what they contribute to the shift's gradient.</summary>
    /// <param name="maps">What is read and written.</param>
    /// <param name="beta">β.</param>
    /// <param name="shift">b, one a channel.</param>
    /// <param name="shiftGradient">db of these pixels, one a channel, overwritten.</param>
    public abstract void Backward(in SignGradientMaps maps, float beta, float* shift, float* shiftGradient);
}
