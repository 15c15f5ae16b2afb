using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>The loop of <see cref="SignGradient"/> over the pixels of one vector of channels.</summary>
internal static unsafe class SignGradientLoop<TFloats, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>Channels from <paramref name="channel"/> on, as many as there are lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(in SignGradientMaps maps, float beta, float* shift, float* shiftGradient, int channel)
    {
        TVector scale = TFloats.Broadcast(beta), bias = TFloats.Load(shift + channel), zero = TFloats.Broadcast(0);
        TVector one = TFloats.Broadcast(1), two = TFloats.Broadcast(2), total = zero;
        nint stride = maps.Channels, gradientStride = maps.GradientStride, shortcutStride = stride * maps.Shortcuts;
        var gradient = maps.Gradient + channel;
        var shortcut = maps.Shortcut + channel;
        for (nint at = channel, end = channel + maps.Pixels * stride; at < end; at += stride, gradient += gradientStride, shortcut += shortcutStride)
        {
            var t = TFloats.Add(TFloats.Multiply(TFloats.Load(maps.Input + at), scale), bias);
            // 2 − 2·|t| is 0 at t = 1 and at t = −1, so that open and closed ends give the same.
            var inside = TFloats.Select(TFloats.LessThan(TFloats.Abs(t), one), TFloats.Subtract(two, TFloats.Multiply(two, TFloats.Abs(t))), zero);
            var ofShifted = TFloats.Multiply(inside, TFloats.Load(gradient));
            total = TFloats.Add(total, ofShifted);
            var result = TFloats.Multiply(scale, ofShifted);
            for (var copy = 0; copy < maps.Shortcuts; copy++) result = TFloats.Add(result, TFloats.Load(shortcut + copy * stride));
            TFloats.Store(result, maps.Result + at);
        }
        TFloats.Store(TFloats.Add(TFloats.Load(shiftGradient + channel), total), shiftGradient + channel);
    }
}
