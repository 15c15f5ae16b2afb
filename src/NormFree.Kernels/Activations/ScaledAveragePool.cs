using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>The mean over squares of pixels, times a constant: a shortcut that shrinks the map, forward and backward in one pass each.</summary>
/// <remarks>
/// Forward: y = β/k² · Σ x over k×k pixels. Backward: dx = β/k² · dy of the pixel's square; 0 behind the last whole square. Maps are channels-last.
/// </remarks>
public abstract unsafe class ScaledAveragePool
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static ScaledAveragePool For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ScaledAveragePool<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ScaledAveragePool<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ScaledAveragePool<AdvSimdFloats, Vector128<float>>(),
        _ => new ScaledAveragePool<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static ScaledAveragePool Best { get; } = For(InstructionSets.Best);

    /// <summary>One row of the small map.</summary>
    /// <param name="width">Pixels of a row of the large map.</param>
    /// <param name="channels">Of a pixel.</param>
    /// <param name="kernel">k.</param>
    /// <param name="factor">β/k².</param>
    /// <param name="source">k rows of the large map.</param>
    /// <param name="target">⌊width/k⌋ × channels.</param>
    public abstract void Forward(int width, int channels, int kernel, float factor, float* source, float* target);

    /// <summary>One row of the large map.</summary>
    /// <param name="width">Pixels of a row of the large map.</param>
    /// <param name="channels">Of a pixel.</param>
    /// <param name="kernel">k.</param>
    /// <param name="factor">β/k².</param>
    /// <param name="source">The row of dy whose squares the row belongs to; null behind the last whole square.</param>
    /// <param name="target">width × channels.</param>
    public abstract void Backward(int width, int channels, int kernel, float factor, float* source, float* target);
}

/// <summary><see cref="ScaledAveragePool"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class ScaledAveragePool<TFloats, TVector> : ScaledAveragePool
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
