using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Multiplies each channel of a channels-last map by its own factor.</summary>
public abstract unsafe class ChannelScale
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static ChannelScale For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ChannelScale<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ChannelScale<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ChannelScale<AdvSimdFloats, Vector128<float>>(),
        _ => new ChannelScale<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static ChannelScale Best { get; } = For(InstructionSets.Best);

    /// <summary>target = scale·integers: converts the int32 accumulators of a binary convolution to floats.</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="channels">Number of channels.</param>
    /// <param name="integers">pixels × channels.</param>
    /// <param name="scale">One factor per channel.</param>
    /// <param name="target">pixels × channels.</param>
    public abstract void ScaleIntegers(int pixels, int channels, int* integers, float* scale, float* target);

    /// <summary>target = scale·values.</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="channels">Number of channels.</param>
    /// <param name="values">pixels × <paramref name="stride"/>.</param>
    /// <param name="stride">Floats from one pixel to the next; at least <paramref name="channels"/>.</param>
    /// <param name="scale">One factor per channel.</param>
    /// <param name="target">pixels × channels.</param>
    public abstract void ScaleFloats(int pixels, int channels, float* values, int stride, float* scale, float* target);
}

/// <summary><see cref="ChannelScale"/> for one instruction set: whole vectors of channels, then the remaining channels one by one.</summary>
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
