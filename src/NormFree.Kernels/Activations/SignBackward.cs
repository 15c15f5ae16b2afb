using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Backward pass of sign(β·x + b) with a <see cref="SignEstimator"/>, in one pass.</summary>
/// <remarks>
/// With t = β·x + b, ds the gradient of sign(t) and e the estimator's derivative: dt = e(t)·ds; dx = β·dt plus the gradient that reaches x through a
/// shortcut; db = Σ dt. t is rounded after the product and after the sum, as sign packing does in the forward pass.
/// </remarks>
public abstract unsafe class SignBackward
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static SignBackward For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new SignBackward<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new SignBackward<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new SignBackward<AdvSimdFloats, Vector128<float>>(),
        _ => new SignBackward<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static SignBackward Best { get; } = For(InstructionSets.Best);

    /// <summary>Computes dx and the contribution of these pixels to the gradient of the shift.</summary>
    /// <param name="maps">Inputs and outputs.</param>
    /// <param name="beta">β.</param>
    /// <param name="shift">b, one per channel.</param>
    /// <param name="shiftGradient">db of these pixels, one per channel, overwritten.</param>
    /// <param name="estimator">The derivative of the sign.</param>
    public abstract void Backward(in SignBackwardMaps maps, float beta, float* shift, float* shiftGradient, SignEstimator estimator = default);
}

/// <summary>Inputs and outputs of <see cref="SignBackward"/>.</summary>
public unsafe struct SignBackwardMaps
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
    internal readonly SignBackwardMaps Slice(int first, int pixels)
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

/// <summary><see cref="SignBackward"/> for one instruction set: whole vectors of channels, then the remaining channels one by one.</summary>
internal sealed unsafe class SignBackward<TFloats, TVector> : SignBackward
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Backward(in SignBackwardMaps maps, float beta, float* shift, float* shiftGradient, SignEstimator estimator)
    {
        switch (estimator.Kind)
        {
            case SignEstimatorKind.ApproxSign: Run<ApproxSignSlope>(maps, beta, shift, shiftGradient, estimator.Parameter); break;
            case SignEstimatorKind.StraightThrough: Run<StraightThroughSlope>(maps, beta, shift, shiftGradient, estimator.Parameter); break;
            case SignEstimatorKind.Sigmoid: Run<SigmoidSlope>(maps, beta, shift, shiftGradient, estimator.Parameter); break;
            case SignEstimatorKind.Swish: Run<SwishSlope>(maps, beta, shift, shiftGradient, estimator.Parameter); break;
            default: Run<TanhSlope>(maps, beta, shift, shiftGradient, estimator.Parameter); break;
        }
    }

    private static void Run<TSlope>(in SignBackwardMaps maps, float beta, float* shift, float* shiftGradient, float parameter)
        where TSlope : struct, ISignSlope
    {
        new Span<float>(shiftGradient, maps.Channels).Clear();
        var size = PixelBlock.Size(maps.Channels);
        for (var first = 0; first < maps.Pixels; first += size)
        {
            var block = maps.Slice(first, Math.Min(size, maps.Pixels - first));
            var channel = 0;
            for (; channel + TFloats.Lanes <= maps.Channels; channel += TFloats.Lanes)
                SignBackwardLoop<TFloats, TVector, TSlope>.Run(block, beta, shift, shiftGradient, channel, parameter);
            for (; channel < maps.Channels; channel++)
                SignBackwardLoop<ScalarFloats, float, TSlope>.Run(block, beta, shift, shiftGradient, channel, parameter);
        }
    }
}

/// <summary>Loop of <see cref="SignBackward"/> over the pixels of one vector of channels.</summary>
internal static unsafe class SignBackwardLoop<TFloats, TVector, TSlope>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
    where TSlope : struct, ISignSlope
{
    /// <summary>Processes as many channels as there are lanes, from <paramref name="channel"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(in SignBackwardMaps maps, float beta, float* shift, float* shiftGradient, int channel, float parameter)
    {
        TVector scale = TFloats.Broadcast(beta), bias = TFloats.Load(shift + channel), total = TFloats.Broadcast(0);
        nint stride = maps.Channels, gradientStride = maps.GradientStride, shortcutStride = stride * maps.ShortcutRepeats;
        var gradient = maps.Gradient + channel;
        var shortcut = maps.ShortcutGradient + channel;
        for (nint at = channel, end = channel + maps.Pixels * stride; at < end; at += stride, gradient += gradientStride, shortcut += shortcutStride)
        {
            var t = TFloats.Add(TFloats.Multiply(TFloats.Load(maps.Input + at), scale), bias);
            var tGradient = TFloats.Multiply(TSlope.At<TFloats, TVector>(t, parameter), TFloats.Load(gradient));
            total = TFloats.Add(total, tGradient);
            var result = TFloats.Multiply(scale, tGradient);
            for (var copy = 0; copy < maps.ShortcutRepeats; copy++) result = TFloats.Add(result, TFloats.Load(shortcut + copy * stride));
            TFloats.Store(result, maps.Result + at);
        }
        TFloats.Store(TFloats.Add(TFloats.Load(shiftGradient + channel), total), shiftGradient + channel);
    }
}
