using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Loops of <see cref="ResidualActivation"/>: one vector of channels at a time, with its parameters in registers.</summary>
internal static unsafe class ResidualActivationLoops<TFloats, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>Processes channels first … last − 1; their number is a multiple of the lanes.</summary>
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
            var branch = maps.Accumulators == null
                ? TFloats.Load(maps.Branch + at)
                : TFloats.Multiply(TFloats.Convert(maps.Accumulators + at), scale);
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
        TVector zero = TFloats.Broadcast(0), shiftInGradient = zero, slopeGradient = zero, shiftOutGradient = zero;
        nint stride = activation.Channels;
        for (nint at = channel, end = channel + maps.Pixels * stride; at < end; at += stride)
        {
            var dy = TFloats.Load(maps.ResultGradient + at);
            var shifted = TFloats.Add(TFloats.Load(maps.Sum + at), shiftIn);
            var positive = TFloats.LessThan(zero, shifted);
            var gradient = TFloats.Select(positive, dy, TFloats.Multiply(slope, dy));
            TFloats.Store(gradient, maps.SumGradient + at);
            shiftInGradient = TFloats.Add(shiftInGradient, gradient);
            slopeGradient = TFloats.MultiplyAdd(TFloats.Select(positive, zero, shifted), dy, slopeGradient);
            shiftOutGradient = TFloats.Add(shiftOutGradient, dy);
        }
        Accumulate(shiftInGradient, maps.ParameterGradients + channel);
        Accumulate(slopeGradient, maps.ParameterGradients + stride + channel);
        Accumulate(shiftOutGradient, maps.ParameterGradients + 2 * stride + channel);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Accumulate(TVector sum, float* target) => TFloats.Store(TFloats.Add(TFloats.Load(target), sum), target);
}

/// <summary>Loops over maps process blocks of pixels; within a block, one vector of channels after another.</summary>
/// <remarks>
/// A channel's parameters and sums stay in registers for the pixels of a block. Larger blocks would keep them longer, but consecutive pixels of one
/// vector are C floats apart (up to a page), which defeats the prefetchers. The cache lines of a small block are all read within a short time.
/// </remarks>
internal static class PixelBlock
{
    /// <summary>Values per block, 16 KiB: a third of a first-level cache.</summary>
    private const int Values = 4096;

    private const int MinPixels = 16;

    /// <summary>Pixels per block.</summary>
    public static int Size(int channels) => Math.Max(MinPixels, Values / channels);
}

/// <summary>Arguments of <see cref="ResidualActivation"/>'s forward pass: accumulators with their scale, or a float branch.</summary>
internal readonly unsafe struct ForwardMaps(
    int pixels, int* accumulators, float* scale, float* branch, float* shortcut, int shortcutChannels, float* sum, float* result)
{
    public readonly int Pixels = pixels;
    public readonly int* Accumulators = accumulators;
    public readonly float* Scale = scale;
    public readonly float* Branch = branch;
    public readonly float* Shortcut = shortcut;
    public readonly int ShortcutChannels = shortcutChannels;
    public readonly float* Sum = sum;
    public readonly float* Result = result;

    /// <summary>A range of the pixels.</summary>
    public ForwardMaps Slice(int first, int pixels, int channels)
    {
        var offset = (nint)first * channels;
        return new ForwardMaps(
            pixels, Accumulators == null ? null : Accumulators + offset, Scale, Branch == null ? null : Branch + offset,
            Shortcut + (nint)first * ShortcutChannels, ShortcutChannels, Sum + offset, Result + offset);
    }
}

/// <summary>Arguments of <see cref="ResidualActivation"/>'s backward pass.</summary>
internal readonly unsafe struct BackwardMaps(
    int pixels, float* sum, float* resultGradient, float* sumGradient, float* parameterGradients)
{
    public readonly int Pixels = pixels;
    public readonly float* Sum = sum;
    public readonly float* ResultGradient = resultGradient;
    public readonly float* SumGradient = sumGradient;
    public readonly float* ParameterGradients = parameterGradients;

    /// <summary>A range of the pixels.</summary>
    public BackwardMaps Slice(int first, int pixels, int channels)
    {
        var offset = (nint)first * channels;
        return new BackwardMaps(pixels, Sum + offset, ResultGradient + offset, SumGradient + offset, ParameterGradients);
    }
}
