using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Average pooling times a constant, forward and backward in one pass each: the shortcut of a downsampling block.</summary>
/// <remarks>
/// Forward: y = β/k² · Σ x over windows of k×k pixels, stride k. Backward: dx = β/k² · dy of the window; 0 past the last whole window. Maps are
/// channels-last.
/// </remarks>
public abstract unsafe class ScaledAveragePool
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static ScaledAveragePool For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ScaledAveragePool<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new ScaledAveragePool<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new ScaledAveragePool<AdvSimdFloats, Vector128<float>>(),
        _ => new ScaledAveragePool<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static ScaledAveragePool Best { get; } = For(InstructionSets.Best);

    /// <summary>Computes one output row.</summary>
    /// <param name="width">Width of the input.</param>
    /// <param name="channels">Number of channels.</param>
    /// <param name="kernel">k, side of a window.</param>
    /// <param name="factor">β/k².</param>
    /// <param name="source">k input rows.</param>
    /// <param name="target">⌊width/k⌋ × channels.</param>
    public abstract void Forward(int width, int channels, int kernel, float factor, float* source, float* target);

    /// <summary>Computes the gradient of one input row.</summary>
    /// <param name="width">Width of the input.</param>
    /// <param name="channels">Number of channels.</param>
    /// <param name="kernel">k, side of a window.</param>
    /// <param name="factor">β/k².</param>
    /// <param name="source">The row of dy whose windows contain the input row; null past the last whole window.</param>
    /// <param name="target">width × channels.</param>
    public abstract void Backward(int width, int channels, int kernel, float factor, float* source, float* target);
}

/// <summary><see cref="ScaledAveragePool"/> for one instruction set: whole vectors of channels, then the remaining channels one by one.</summary>
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
