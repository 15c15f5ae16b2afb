using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Multiplies every channel of a map by a factor of its own.</summary>
public abstract unsafe class ChannelScale
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static ChannelScale For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ChannelScale<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ChannelScale<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ChannelScale<AdvSimdFloats, Vector128<float>>(),
        _ => new ChannelScale<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static ChannelScale Best { get; } = For(InstructionSets.Best);

    /// <summary>Exact sums of a binary convolution as real numbers: scale·count.</summary>
    /// <param name="pixels">How many.</param>
    /// <param name="channels">How many.</param>
    /// <param name="integers">pixels × channels.</param>
    /// <param name="scale">One factor a channel.</param>
    /// <param name="target">pixels × channels.</param>
    public abstract void ScaleIntegers(int pixels, int channels, int* integers, float* scale, float* target);

    /// <summary>scale·value.</summary>
    /// <param name="pixels">How many.</param>
    /// <param name="channels">How many.</param>
    /// <param name="values">pixels × <paramref name="stride"/>.</param>
    /// <param name="stride">From one pixel's values to the next: at least the channels.</param>
    /// <param name="scale">One factor a channel.</param>
    /// <param name="target">pixels × channels.</param>
    public abstract void ScaleFloats(int pixels, int channels, float* values, int stride, float* scale, float* target);
}

/// <summary><see cref="ChannelScale"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class ChannelScale<TFloats, TVector> : ChannelScale
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void ScaleIntegers(int pixels, int channels, int* integers, float* scale, float* target)
    {
        for (var pixel = 0; pixel < pixels; pixel++, integers += channels, target += channels)
        {
            var channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
                TFloats.Store(TFloats.Multiply(TFloats.Convert(integers + channel), TFloats.Load(scale + channel)), target + channel);
            for (; channel < channels; channel++) target[channel] = integers[channel] * scale[channel];
        }
    }

    /// <inheritdoc/>
    public override void ScaleFloats(int pixels, int channels, float* values, int stride, float* scale, float* target)
    {
        for (var pixel = 0; pixel < pixels; pixel++, values += stride, target += channels)
        {
            var channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
                TFloats.Store(TFloats.Multiply(TFloats.Load(values + channel), TFloats.Load(scale + channel)), target + channel);
            for (; channel < channels; channel++) target[channel] = values[channel] * scale[channel];
        }
    }
}
