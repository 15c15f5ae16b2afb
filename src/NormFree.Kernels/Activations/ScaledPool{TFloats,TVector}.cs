using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary><see cref="ScaledPool"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class ScaledPool<TFloats, TVector> : ScaledPool
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Forward(int width, int channels, int kernel, float factor, float* source, float* target)
    {
        var scale = TFloats.Broadcast(factor);
        for (var square = 0; square < width / kernel; square++, source += (nint)kernel * channels, target += channels)
        {
            var channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
            {
                var sum = TFloats.Broadcast(0);
                for (var row = 0; row < kernel; row++)
                    for (var column = 0; column < kernel; column++)
                        sum = TFloats.Add(sum, TFloats.Load(source + ((nint)row * width + column) * channels + channel));
                TFloats.Store(TFloats.Multiply(sum, scale), target + channel);
            }
            for (; channel < channels; channel++) target[channel] = factor * Sum(width, channels, kernel, source + channel);
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Backward(int width, int channels, int kernel, float factor, float* source, float* target)
    {
        var covered = source == null ? 0 : width / kernel * kernel;
        var scale = TFloats.Broadcast(factor);
        for (var pixel = 0; pixel < covered; pixel++)
        {
            float* from = source + (nint)(pixel / kernel) * channels, to = target + (nint)pixel * channels;
            var channel = 0;
            for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
                TFloats.Store(TFloats.Multiply(TFloats.Load(from + channel), scale), to + channel);
            for (; channel < channels; channel++) to[channel] = factor * from[channel];
        }
        NativeMemory.Clear(target + (nint)covered * channels, (nuint)(width - covered) * (nuint)channels * sizeof(float));
    }

    private static float Sum(int width, int channels, int kernel, float* source)
    {
        var sum = 0f;
        for (var row = 0; row < kernel; row++)
            for (var column = 0; column < kernel; column++)
                sum += source[((nint)row * width + column) * channels];
        return sum;
    }
}
