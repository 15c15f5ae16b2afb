using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>The loops of <see cref="ResidualActivation"/>: one vector of channels after the other, with its parameters in registers.</summary>
internal static unsafe class ResidualActivationLoops<TFloats, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>Channels from first to below last, whose number is a multiple of the lanes.</summary>
    public static void Forward(in RPReLUParameters activation, in ForwardMaps maps, int first, int last)
    {
        for (var channel = first; channel < last; channel += TFloats.Lanes) Forward(activation, maps, channel);
    }

    /// <inheritdoc cref="Forward(in RPReLUParameters, in ForwardMaps, int, int)"/>
    public static void Backward(in RPReLUParameters activation, in BackwardMaps maps, int first, int last)
    {
        for (var channel = first; channel < last; channel += TFloats.Lanes) Backward(activation, maps, channel);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Forward(in RPReLUParameters activation, in ForwardMaps maps, int channel)
    {
        TVector shiftIn = TFloats.Load(activation.ShiftIn + channel), slope = TFloats.Load(activation.Slope + channel);
        TVector shiftOut = TFloats.Load(activation.ShiftOut + channel), zero = TFloats.Broadcast(0);
        var scale = maps.Scale == null ? default : TFloats.Load(maps.Scale + channel);
        nint stride = activation.Channels, shortcutStride = maps.ShortcutChannels;
        var shortcut = maps.Shortcut + channel % maps.ShortcutChannels;
        for (nint at = channel, end = channel + maps.Pixels * stride; at < end; at += stride, shortcut += shortcutStride)
        {
            var branch = maps.Counts == null
                ? TFloats.Load(maps.Branch + at)
                : TFloats.Multiply(TFloats.Convert(maps.Counts + at), scale);
            var sum = TFloats.Add(branch, TFloats.Load(shortcut));
            TFloats.Store(sum, maps.Sum + at);
            var shifted = TFloats.Add(sum, shiftIn);
            var positive = TFloats.LessThan(zero, shifted);
            var active = TFloats.Select(positive, shifted, TFloats.Multiply(slope, shifted));
            TFloats.Store(TFloats.Add(active, shiftOut), maps.Result + at);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Backward(in RPReLUParameters activation, in BackwardMaps maps, int channel)
    {
        TVector shiftIn = TFloats.Load(activation.ShiftIn + channel), slope = TFloats.Load(activation.Slope + channel);
        TVector zero = TFloats.Broadcast(0), ofShiftIn = zero, ofSlope = zero, ofShiftOut = zero;
        nint stride = activation.Channels;
        for (nint at = channel, end = channel + maps.Pixels * stride; at < end; at += stride)
        {
            var dy = TFloats.Load(maps.ResultGradient + at);
            var shifted = TFloats.Add(TFloats.Load(maps.Sum + at), shiftIn);
            var positive = TFloats.LessThan(zero, shifted);
            var gradient = TFloats.Select(positive, dy, TFloats.Multiply(slope, dy));
            TFloats.Store(gradient, maps.SumGradient + at);
            ofShiftIn = TFloats.Add(ofShiftIn, gradient);
            ofSlope = TFloats.MultiplyAdd(TFloats.Select(positive, zero, shifted), dy, ofSlope);
            ofShiftOut = TFloats.Add(ofShiftOut, dy);
        }
        Accumulate(ofShiftIn, maps.ParameterGradients + channel);
        Accumulate(ofSlope, maps.ParameterGradients + stride + channel);
        Accumulate(ofShiftOut, maps.ParameterGradients + 2 * stride + channel);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Accumulate(TVector sum, float* target) => TFloats.Store(TFloats.Add(TFloats.Load(target), sum), target);
}
