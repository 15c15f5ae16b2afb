using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Subtracts from every pixel the mean of its channels: x[p, c] ← x[p, c] − Σ x[p, k]/C. Maps are channels-last.</summary>
public abstract unsafe class ChannelCentering
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static ChannelCentering For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ChannelCentering<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ChannelCentering<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ChannelCentering<AdvSimdFloats, Vector128<float>>(),
        _ => new ChannelCentering<ScalarFloats, float>(),
    };

    /// <summary>Centers pixels in place.</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="channels">Number of channels.</param>
    /// <param name="values">pixels × channels.</param>
    public abstract void Center(int pixels, int channels, float* values);
}

/// <summary><see cref="ChannelCentering"/> for one instruction set: whole vectors of channels, then the remaining channels one by one.</summary>
internal sealed unsafe class ChannelCentering<TFloats, TVector> : ChannelCentering
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Center(int pixels, int channels, float* values)
    {
        for (var pixel = 0; pixel < pixels; pixel++, values += channels) Subtract(channels, values, Sum(channels, values) / channels);
    }

    private static float Sum(int channels, float* values)
    {
        var sums = TFloats.Broadcast(0);
        var channel = 0;
        for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes) sums = TFloats.Add(sums, TFloats.Load(values + channel));
        var total = TFloats.Sum(sums);
        for (; channel < channels; channel++) total += values[channel];
        return total;
    }

    private static void Subtract(int channels, float* values, float mean)
    {
        var means = TFloats.Broadcast(mean);
        var channel = 0;
        for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
            TFloats.Store(TFloats.Subtract(TFloats.Load(values + channel), means), values + channel);
        for (; channel < channels; channel++) values[channel] -= mean;
    }
}
