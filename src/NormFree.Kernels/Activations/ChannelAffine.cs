using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>A scale, bias and slope per channel and a clamp, on channels-last maps.</summary>
/// <remarks>a = scale·x + bias; b = a where a &gt; 0, else slope·a; y = b clamped to [low, high]. NaN stays NaN.</remarks>
public abstract unsafe class ChannelAffine
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static ChannelAffine For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ChannelAffine<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ChannelAffine<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ChannelAffine<AdvSimdFloats, Vector128<float>>(),
        _ => new ChannelAffine<ScalarFloats, float>(),
    };

    /// <summary>Computes pixels of the result.</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="channels">Number of channels.</param>
    /// <param name="parameters">3 × channels: the scales, then the biases, then the slopes.</param>
    /// <param name="low">The smallest result; −∞ for no bound.</param>
    /// <param name="high">The largest result; +∞ for no bound.</param>
    /// <param name="source">pixels × channels.</param>
    /// <param name="target">pixels × channels; may be <paramref name="source"/>.</param>
    public abstract void Apply(int pixels, int channels, float* parameters, float low, float high, float* source, float* target);
}

/// <summary><see cref="ChannelAffine"/> for one instruction set: whole vectors of channels, then the remaining channels one by one.</summary>
internal sealed unsafe class ChannelAffine<TFloats, TVector> : ChannelAffine
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Apply(int pixels, int channels, float* parameters, float low, float high, float* source, float* target)
    {
        float* scale = parameters, bias = scale + channels, slope = bias + channels;
        TVector zero = TFloats.Broadcast(0), lowest = TFloats.Broadcast(low), highest = TFloats.Broadcast(high);
        for (var pixel = 0; pixel < pixels; pixel++, source += channels, target += channels)
        {
            var channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
            {
                var a = TFloats.MultiplyAdd(TFloats.Load(source + channel), TFloats.Load(scale + channel), TFloats.Load(bias + channel));
                var negative = TFloats.Multiply(a, TFloats.Load(slope + channel));
                var b = TFloats.Select(TFloats.LessThan(zero, a), a, negative);
                b = TFloats.Select(TFloats.LessThan(b, lowest), lowest, b);
                TFloats.Store(TFloats.Select(TFloats.LessThan(highest, b), highest, b), target + channel);
            }
            for (; channel < channels; channel++)
            {
                var a = source[channel] * scale[channel] + bias[channel];
                var b = a > 0 ? a : slope[channel] * a;
                target[channel] = b < low ? low : b > high ? high : b;
            }
        }
    }
}
