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

/// <summary>How loops over maps go: block by block of pixels, in each one vector of channels after the other.</summary>
/// <remarks>
/// A channel's parameters and sums stay in registers over the pixels of a block. Over a whole map they would stay longer, but a vector's next pixel
/// lies C floats further, up to a page, which no prefetcher follows; a block's lines are all read within a moment.
/// </remarks>
internal static class PixelBlock
{
    /// <summary>Pixels of a block.</summary>
    public const int Size = 16;
}

/// <summary>What <see cref="ResidualActivation"/>'s forward pass reads and writes: accumulators with their scale, or a branch.</summary>
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

    /// <summary>Some of the pixels, of maps with so many channels.</summary>
    public ForwardMaps Slice(int first, int pixels, int channels)
    {
        var offset = (nint)first * channels;
        return new ForwardMaps(
            pixels, Accumulators == null ? null : Accumulators + offset, Scale, Branch == null ? null : Branch + offset,
            Shortcut + (nint)first * ShortcutChannels, ShortcutChannels, Sum + offset, Result + offset);
    }
}

/// <summary>What <see cref="ResidualActivation"/>'s backward pass reads and writes.</summary>
internal readonly unsafe struct BackwardMaps(
    int pixels, float* sum, float* resultGradient, float* sumGradient, float* parameterGradients)
{
    public readonly int Pixels = pixels;
    public readonly float* Sum = sum;
    public readonly float* ResultGradient = resultGradient;
    public readonly float* SumGradient = sumGradient;
    public readonly float* ParameterGradients = parameterGradients;

    /// <summary>Some of the pixels, of maps with so many channels.</summary>
    public BackwardMaps Slice(int first, int pixels, int channels)
    {
        var offset = (nint)first * channels;
        return new BackwardMaps(pixels, Sum + offset, ResultGradient + offset, SumGradient + offset, ParameterGradients);
    }
}
