using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>What follows a binary convolution: its scale, the shortcut's addition and RPReLU, forward and backward.</summary>
/// <remarks>
/// <para>Forward: u = scale·a + shortcut; y = z + b₂ where z = u + b₁ &gt; 0, else slope·z + b₂. One pass; u is what the backward pass needs.</para>
/// <para>Backward: du = dy where z &gt; 0, else slope·dy; db₁ = Σ du; dslope = Σ z·dy over z ≤ 0; db₂ = Σ dy. One pass.</para>
/// <para>Maps are pixels × channels. ReActNet (Liu et al., ECCV 2020), eq. 6; the products are rounded before they are added, as torch does it.</para>
/// </remarks>
public abstract unsafe class ResidualActivation
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static ResidualActivation For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ResidualActivation<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ResidualActivation<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ResidualActivation<AdvSimdFloats, Vector128<float>>(),
        _ => new ResidualActivation<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static ResidualActivation Best { get; } = For(InstructionSets.Best);

    /// <summary>u = scale·counts + shortcut, then y.</summary>
    /// <param name="pixels">How many.</param>
    /// <param name="activation">The activation of all channels.</param>
    /// <param name="counts">Exact sums of a binary convolution, pixels × channels.</param>
    /// <param name="scale">One factor a channel.</param>
    /// <param name="shortcut">pixels × channels of it.</param>
    /// <param name="shortcutChannels">Channels of the shortcut: it repeats where there are fewer than in the result.</param>
    /// <param name="sum">u, pixels × channels.</param>
    /// <param name="result">y, pixels × channels.</param>
    public abstract void Forward(
        int pixels, in RPReLUParameters activation, int* counts, float* scale, float* shortcut, int shortcutChannels, float* sum, float* result);

    /// <summary>u = branch + shortcut, then y.</summary>
    /// <param name="pixels">How many.</param>
    /// <param name="activation">The activation of all channels.</param>
    /// <param name="branch">pixels × channels.</param>
    /// <param name="shortcut">pixels × channels of it.</param>
    /// <param name="shortcutChannels">Channels of the shortcut: it repeats where there are fewer than in the result.</param>
    /// <param name="sum">u, pixels × channels; may be the branch itself.</param>
    /// <param name="result">y, pixels × channels.</param>
    public abstract void Forward(
        int pixels, in RPReLUParameters activation, float* branch, float* shortcut, int shortcutChannels, float* sum, float* result);

    /// <summary>du, and what these pixels contribute to the parameters' gradients.</summary>
    /// <param name="pixels">How many.</param>
    /// <param name="activation">The activation of all channels.</param>
    /// <param name="sum">u from the forward pass, pixels × channels.</param>
    /// <param name="resultGradient">dy, pixels × channels.</param>
    /// <param name="sumGradient">du, pixels × channels.</param>
    /// <param name="parameterGradients">db₁, dslope, db₂: 3 × channels, overwritten.</param>
    public abstract void Backward(
        int pixels, in RPReLUParameters activation, float* sum, float* resultGradient, float* sumGradient, float* parameterGradients);
}
