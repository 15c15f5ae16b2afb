using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Sums and sums of squares of a channels-last map, by channel, in one pass.</summary>
public abstract unsafe class ChannelMoments
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static ChannelMoments For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ChannelMoments<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ChannelMoments<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ChannelMoments<AdvSimdFloats, Vector128<float>>(),
        _ => new ChannelMoments<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static ChannelMoments Best { get; } = For(InstructionSets.Best);

    /// <summary>Σ x and Σ x² of each channel.</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="channels">Number of channels.</param>
    /// <param name="x">pixels × channels.</param>
    /// <param name="sums">The sums of all channels, then the sums of squares, overwritten.</param>
    public abstract void Sum(int pixels, int channels, float* x, float* sums);
}

/// <summary><see cref="ChannelMoments"/> for one instruction set.</summary>
internal sealed unsafe class ChannelMoments<TFloats, TVector> : ChannelMoments
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Sum(int pixels, int channels, float* x, float* sums)
    {
        new Span<float>(sums, 2 * channels).Clear();
        var size = PixelBlock.Size(channels);
        for (var first = 0; first < pixels; first += size, x += (nint)size * channels)
        {
            int count = Math.Min(size, pixels - first), channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes) Loop<TFloats, TVector>.Add(count, channels, x + channel, sums + channel);
            for (; channel < channels; channel++) Loop<ScalarFloats, float>.Add(count, channels, x + channel, sums + channel);
        }
    }

    private static class Loop<TLanes, TLane>
        where TLanes : struct, IFloatVectors<TLane>
        where TLane : unmanaged
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static void Add(int pixels, nint channels, float* x, float* sums)
        {
            TLane sum = TLanes.Broadcast(0), squares = sum;
            for (var pixel = 0; pixel < pixels; pixel++, x += channels)
            {
                var value = TLanes.Load(x);
                sum = TLanes.Add(sum, value);
                squares = TLanes.MultiplyAdd(value, value, squares);
            }
            TLanes.Store(TLanes.Add(TLanes.Load(sums), sum), sums);
            TLanes.Store(TLanes.Add(TLanes.Load(sums + channels), squares), sums + channels);
        }
    }
}
