using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Channel scale, residual addition and RPReLU after a binary convolution, forward and backward, in one pass each.</summary>
/// <remarks>
/// <para>Forward: u = scale·a + shortcut; z = u + b₁; y = z + b₂ where z &gt; 0, else slope·z + b₂. The backward pass needs u.</para>
/// <para>Backward: du = dy where z &gt; 0, else slope·dy; db₁ = Σ du; dslope = Σ z·dy over z ≤ 0; db₂ = Σ dy.</para>
/// <para>Maps are channels-last: pixels × channels. Products are rounded to float32 before they are added, as in PyTorch. RPReLU: Liu et al., "ReActNet"
/// (ECCV 2020), eq. 6.</para>
/// </remarks>
/// <seealso cref="Packed.ResidualEpilogue">The same formula in packed networks, which also packs the next layer's signs.</seealso>
public abstract unsafe class ResidualActivation
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static ResidualActivation For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ResidualActivation<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ResidualActivation<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ResidualActivation<AdvSimdFloats, Vector128<float>>(),
        _ => new ResidualActivation<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static ResidualActivation Best { get; } = For(InstructionSets.Best);

    /// <summary>u = scale·accumulators + shortcut, then y.</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="activation">RPReLU parameters of all channels.</param>
    /// <param name="accumulators">int32 results of a binary convolution, pixels × channels.</param>
    /// <param name="scale">One factor per channel.</param>
    /// <param name="shortcut">pixels × <paramref name="shortcutChannels"/>.</param>
    /// <param name="shortcutChannels">Channels of the shortcut. If the result has more, the shortcut repeats.</param>
    /// <param name="sum">u, pixels × channels.</param>
    /// <param name="result">y, pixels × channels.</param>
    public abstract void Forward(
        int pixels, in RPReLUParameters activation, int* accumulators, float* scale, float* shortcut, int shortcutChannels, float* sum, float* result);

    /// <summary>u = branch + shortcut, then y.</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="activation">RPReLU parameters of all channels.</param>
    /// <param name="branch">pixels × channels.</param>
    /// <param name="shortcut">pixels × <paramref name="shortcutChannels"/>.</param>
    /// <param name="shortcutChannels">Channels of the shortcut. If the result has more, the shortcut repeats.</param>
    /// <param name="sum">u, pixels × channels; may be <paramref name="branch"/>.</param>
    /// <param name="result">y, pixels × channels.</param>
    public abstract void Forward(
        int pixels, in RPReLUParameters activation, float* branch, float* shortcut, int shortcutChannels, float* sum, float* result);

    /// <summary>Computes du and the contribution of these pixels to the parameter gradients.</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="activation">RPReLU parameters of all channels.</param>
    /// <param name="sum">u from the forward pass, pixels × channels.</param>
    /// <param name="resultGradient">dy, pixels × channels.</param>
    /// <param name="sumGradient">du, pixels × channels.</param>
    /// <param name="parameterGradients">db₁, dslope, db₂: 3 × channels, overwritten.</param>
    public abstract void Backward(
        int pixels, in RPReLUParameters activation, float* sum, float* resultGradient, float* sumGradient, float* parameterGradients);
}

/// <summary>Pointers to the parameters of an RPReLU: y = z + b₂ where z = x + b₁ &gt; 0, else slope·z + b₂.</summary>
/// <param name="channels">Number of channels.</param>
/// <param name="shiftIn">b₁, one per channel.</param>
/// <param name="slope">Factor of negative values, one per channel.</param>
/// <param name="shiftOut">b₂, one per channel.</param>
public readonly unsafe struct RPReLUParameters(int channels, float* shiftIn, float* slope, float* shiftOut)
{
    /// <summary>Number of channels.</summary>
    public int Channels { get; } = channels;

    /// <summary>b₁, one per channel.</summary>
    public float* ShiftIn { get; } = shiftIn;

    /// <summary>Factor of negative values, one per channel.</summary>
    public float* Slope { get; } = slope;

    /// <summary>b₂, one per channel.</summary>
    public float* ShiftOut { get; } = shiftOut;
}

/// <summary><see cref="ResidualActivation"/> for one instruction set: whole vectors of channels, then the remaining channels one by one.</summary>
internal sealed unsafe class ResidualActivation<TFloats, TVector> : ResidualActivation
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Forward(
        int pixels, in RPReLUParameters activation, int* accumulators, float* scale, float* shortcut, int shortcutChannels, float* sum, float* result)
    {
        var maps = new ForwardMaps(pixels, accumulators, scale, null, shortcut, shortcutChannels, sum, result);
        Forward(activation, maps);
    }

    /// <inheritdoc/>
    public override void Forward(
        int pixels, in RPReLUParameters activation, float* branch, float* shortcut, int shortcutChannels, float* sum, float* result)
    {
        var maps = new ForwardMaps(pixels, null, null, branch, shortcut, shortcutChannels, sum, result);
        Forward(activation, maps);
    }

    /// <inheritdoc/>
    public override void Backward(
        int pixels, in RPReLUParameters activation, float* sum, float* resultGradient, float* sumGradient, float* parameterGradients)
    {
        var maps = new BackwardMaps(pixels, sum, resultGradient, sumGradient, parameterGradients);
        var whole = activation.Channels / TFloats.Lanes * TFloats.Lanes;
        new Span<float>(parameterGradients, 3 * activation.Channels).Clear();
        var size = PixelBlock.Size(activation.Channels);
        for (var first = 0; first < pixels; first += size)
        {
            var block = maps.Slice(first, Math.Min(size, pixels - first), activation.Channels);
            ResidualActivationLoops<TFloats, TVector>.Backward(activation, block, 0, whole);
            ResidualActivationLoops<ScalarFloats, float>.Backward(activation, block, whole, activation.Channels);
        }
    }

    private static void Forward(in RPReLUParameters activation, in ForwardMaps maps)
    {
        // A vector must not read past the end of a repeating shortcut.
        var whole = maps.ShortcutChannels % TFloats.Lanes == 0 || maps.ShortcutChannels == activation.Channels
            ? activation.Channels / TFloats.Lanes * TFloats.Lanes
            : 0;
        var size = PixelBlock.Size(activation.Channels);
        for (var first = 0; first < maps.Pixels; first += size)
        {
            var block = maps.Slice(first, Math.Min(size, maps.Pixels - first), activation.Channels);
            ResidualActivationLoops<TFloats, TVector>.Forward(activation, block, 0, whole);
            ResidualActivationLoops<ScalarFloats, float>.Forward(activation, block, whole, activation.Channels);
        }
    }
}
