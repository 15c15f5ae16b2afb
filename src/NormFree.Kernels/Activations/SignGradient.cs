using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Backward pass of sign(β·x + b) with the Bi-Real Net estimator (Larq's <c>approx_sign</c>), in one pass.</summary>
/// <remarks>
/// With t = β·x + b and ds the gradient of sign(t): dt = (2 − 2·|t|)·ds where −1 ≤ t &lt; 1, else 0; dx = β·dt plus the gradient that reaches x through
/// a shortcut; db = Σ dt. Liu et al., "Bi-Real Net" (ECCV 2018), eq. 5–6. t is rounded after the product and after the sum, as sign packing does in the
/// forward pass.
/// </remarks>
public abstract unsafe class SignGradient
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static SignGradient For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new SignGradient<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new SignGradient<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new SignGradient<AdvSimdFloats, Vector128<float>>(),
        _ => new SignGradient<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static SignGradient Best { get; } = For(InstructionSets.Best);

    /// <summary>Computes dx and the contribution of these pixels to the gradient of the shift.</summary>
    /// <param name="maps">Inputs and outputs.</param>
    /// <param name="beta">β.</param>
    /// <param name="shift">b, one per channel.</param>
    /// <param name="shiftGradient">db of these pixels, one per channel, overwritten.</param>
    public abstract void Backward(in SignGradientMaps maps, float beta, float* shift, float* shiftGradient);
}

/// <summary>Inputs and outputs of <see cref="SignGradient"/>.</summary>
public unsafe struct SignGradientMaps
{
    /// <summary>Number of pixels.</summary>
    public int Pixels;

    /// <summary>Number of channels.</summary>
    public int Channels;

    /// <summary>x, pixels × channels.</summary>
    public float* Input;

    /// <summary>ds, pixels × <see cref="GradientStride"/>.</summary>
    public float* Gradient;

    /// <summary>Floats from one pixel of ds to the next; at least the channels.</summary>
    public int GradientStride;

    /// <summary>Gradient of the shortcut's output: pixels × <see cref="ShortcutRepeats"/>·channels. Not read if <see cref="ShortcutRepeats"/> is 0.</summary>
    public float* ShortcutGradient;

    /// <summary>How often the shortcut repeats x along the channels; 0 without a shortcut.</summary>
    public int ShortcutRepeats;

    /// <summary>dx, pixels × channels.</summary>
    public float* Result;

    /// <summary>A range of the pixels.</summary>
    internal readonly SignGradientMaps Slice(int first, int pixels)
    {
        var slice = this;
        slice.Pixels = pixels;
        slice.Input += (nint)first * Channels;
        slice.Gradient += (nint)first * GradientStride;
        slice.ShortcutGradient += (nint)first * Channels * ShortcutRepeats;
        slice.Result += (nint)first * Channels;
        return slice;
    }
}

/// <summary><see cref="SignGradient"/> for one instruction set: whole vectors of channels, then the remaining channels one by one.</summary>
internal sealed unsafe class SignGradient<TFloats, TVector> : SignGradient
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Backward(in SignGradientMaps maps, float beta, float* shift, float* shiftGradient)
    {
        new Span<float>(shiftGradient, maps.Channels).Clear();
        for (var first = 0; first < maps.Pixels; first += PixelBlock.Size)
        {
            var block = maps.Slice(first, Math.Min(PixelBlock.Size, maps.Pixels - first));
            var channel = 0;
            for (; channel + TFloats.Lanes <= maps.Channels; channel += TFloats.Lanes)
                SignGradientLoop<TFloats, TVector>.Run(block, beta, shift, shiftGradient, channel);
            for (; channel < maps.Channels; channel++)
                SignGradientLoop<ScalarFloats, float>.Run(block, beta, shift, shiftGradient, channel);
        }
    }
}

/// <summary>Loop of <see cref="SignGradient"/> over the pixels of one vector of channels.</summary>
internal static unsafe class SignGradientLoop<TFloats, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>Processes as many channels as there are lanes, from <paramref name="channel"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(in SignGradientMaps maps, float beta, float* shift, float* shiftGradient, int channel)
    {
        TVector scale = TFloats.Broadcast(beta), bias = TFloats.Load(shift + channel), zero = TFloats.Broadcast(0);
        TVector one = TFloats.Broadcast(1), two = TFloats.Broadcast(2), total = zero;
        nint stride = maps.Channels, gradientStride = maps.GradientStride, shortcutStride = stride * maps.ShortcutRepeats;
        var gradient = maps.Gradient + channel;
        var shortcut = maps.ShortcutGradient + channel;
        for (nint at = channel, end = channel + maps.Pixels * stride; at < end; at += stride, gradient += gradientStride, shortcut += shortcutStride)
        {
            var t = TFloats.Add(TFloats.Multiply(TFloats.Load(maps.Input + at), scale), bias);
            // 2 − 2·|t| is 0 at t = ±1, so it does not matter which ends of the interval are open.
            var inside = TFloats.Select(TFloats.LessThan(TFloats.Abs(t), one), TFloats.Subtract(two, TFloats.Multiply(two, TFloats.Abs(t))), zero);
            var tGradient = TFloats.Multiply(inside, TFloats.Load(gradient));
            total = TFloats.Add(total, tGradient);
            var result = TFloats.Multiply(scale, tGradient);
            for (var copy = 0; copy < maps.ShortcutRepeats; copy++) result = TFloats.Add(result, TFloats.Load(shortcut + copy * stride));
            TFloats.Store(result, maps.Result + at);
        }
        TFloats.Store(TFloats.Add(TFloats.Load(shiftGradient + channel), total), shiftGradient + channel);
    }
}
