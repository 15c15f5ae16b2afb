using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary>The epilogue of a packed binary convolution in one pass: scale, shortcut, RPReLU, and the next layer's signs.</summary>
/// <remarks>
/// <para>z = scale·accumulator + bias + shortcut; y = z + shift where z &gt; 0, else slope·z + shift; the next layer's sign is +1 where y ≥ threshold.</para>
/// <para>Maps are one image's pixels × channels. Tasks may share a map: a call writes only the values and signs of its range.</para>
/// </remarks>
/// <seealso cref="Activations.ResidualActivation">The same formula in training, with its backward pass.</seealso>
public abstract unsafe class ResidualEpilogue
{
    /// <summary>The implementation for an instruction set and the encoding of the next layer's signs.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static ResidualEpilogue For(InstructionSet set, SignEncoding encoding) => encoding switch
    {
        SignEncoding.SixBits => For<SixBitEncoder>(set),
        SignEncoding.FourBits => For<FourBitEncoder>(set),
        _ => For<WordEncoder>(set),
    };

    /// <summary>Applies the epilogue to a part of a layer's output.</summary>
    /// <param name="parameters">Parameters of the layer.</param>
    /// <param name="range">The part; its first filter must be a multiple of 64, and so must its end unless it is the last.</param>
    /// <param name="accumulators">int32 results of the convolution, the range's pixels × filters.</param>
    /// <param name="shortcut">What is added before RPReLU.</param>
    /// <param name="result">The first channel of the layer in the first pixel of the whole output map.</param>
    /// <param name="resultStep">Floats from one pixel of the output map to the next.</param>
    /// <param name="threshold">Thresholds of the next layer's signs, one per channel; null if no binary layer follows.</param>
    /// <param name="next">Signs of the next layer; not used without a threshold.</param>
    public abstract void Apply(
        in EpilogueParameters parameters, in OutputRange range, int* accumulators, in EpilogueShortcut shortcut, float* result, int resultStep,
        float* threshold, SignMap next);

    /// <summary>Packs the signs of a float map that was not computed by a binary layer.</summary>
    /// <param name="firstPixel">The first pixel.</param>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="map">The whole float map, pixels × channels.</param>
    /// <param name="threshold">One per channel.</param>
    /// <param name="signs">The whole sign map.</param>
    public abstract void Pack(int firstPixel, int pixels, float* map, float* threshold, SignMap signs);

    private static ResidualEpilogue For<TEncoder>(InstructionSet set) where TEncoder : struct, ISignEncoder => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ResidualEpilogue<Avx512Floats, Avx512Signs, TEncoder, Vector512<float>>(For<TEncoder>(InstructionSet.Avx2)),
        InstructionSet.Avx2 => new ResidualEpilogue<Avx2Floats, Avx2Signs, TEncoder, Vector256<float>>(),
        InstructionSet.AdvSimd => new ResidualEpilogue<AdvSimdFloats, AdvSimdSigns, TEncoder, Vector128<float>>(),
        _ => new ResidualEpilogue<ScalarFloats, ScalarSigns, TEncoder, float>(),
    };
}

/// <summary>Pointers to the parameters of a packed binary layer, one value per output channel.</summary>
/// <param name="channels">Number of channels.</param>
/// <param name="scale">Factor of the accumulators.</param>
/// <param name="bias">Added to the scaled accumulators.</param>
/// <param name="slope">RPReLU's factor of negative values.</param>
/// <param name="shift">Added after RPReLU.</param>
public readonly unsafe struct EpilogueParameters(int channels, float* scale, float* bias, float* slope, float* shift)
{
    /// <summary>Number of channels.</summary>
    public int Channels { get; } = channels;

    /// <summary>Factor of the accumulators.</summary>
    public float* Scale { get; } = scale;

    /// <summary>Added to the scaled accumulators.</summary>
    public float* Bias { get; } = bias;

    /// <summary>RPReLU's factor of negative values.</summary>
    public float* Slope { get; } = slope;

    /// <summary>Added after RPReLU.</summary>
    public float* Shift { get; } = shift;
}

/// <summary>What the epilogue adds before RPReLU.</summary>
/// <param name="values">The first pixel.</param>
/// <param name="channels">Its channels. If the layer has more, they repeat.</param>
/// <param name="pixelStep">Floats from one pixel to the next; 0 if all pixels add the same values.</param>
public readonly unsafe struct EpilogueShortcut(float* values, int channels, int pixelStep)
{
    /// <summary>The first pixel.</summary>
    public float* Values { get; } = values;

    /// <summary>Channels of a pixel.</summary>
    public int Channels { get; } = channels;

    /// <summary>Floats from one pixel to the next.</summary>
    public int PixelStep { get; } = pixelStep;
}

/// <summary><see cref="ResidualEpilogue"/> for one instruction set and encoding: pixel by pixel, 64 channels at a time.</summary>
/// <param name="narrower">Computes what whole vectors do not fit, such as 8 channels with AVX-512; null to compute their rest value by value.</param>
internal sealed unsafe class ResidualEpilogue<TFloats, TSigns, TEncoder, TVector>(ResidualEpilogue? narrower = null) : ResidualEpilogue
    where TFloats : struct, IFloatVectors<TVector>
    where TSigns : struct, ISignVectors<TVector>
    where TEncoder : struct, ISignEncoder
    where TVector : unmanaged
{
    private const int Block = SignLayout.Block;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Apply(
        in EpilogueParameters parameters, in OutputRange range, int* accumulators, in EpilogueShortcut shortcut, float* result, int resultStep,
        float* threshold, SignMap next)
    {
        int begin = range.FirstFilter, end = begin + range.Filters, addedStep = shortcut.PixelStep;
        var repeat = new ShortcutRepeat(shortcut.Channels, parameters.Channels, TFloats.Lanes);
        if (narrower is not null && !(repeat.UseVectors && Fits(parameters.Channels)))
        {
            narrower.Apply(parameters, range, accumulators, shortcut, result, resultStep, threshold, next);
            return;
        }
        var signs = new SignMapCursor(next, range.FirstPixel);
        var added = shortcut.Values + (long)range.FirstPixel * addedStep;
        result += (long)range.FirstPixel * resultStep;
        for (var pixel = 0; pixel < range.Pixels; pixel++, result += resultStep, added += addedStep)
        {
            for (var first = begin; first < end; first += Block)
            {
                var channels = Math.Min(Block, end - first);
                var bits = Activate(parameters, first, channels, accumulators, added, repeat, result + first, threshold);
                if (threshold != null) TEncoder.Write(bits, channels, signs.Block(first / Block));
                accumulators += channels;
            }
            if (threshold != null) signs.Next();
        }
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Pack(int firstPixel, int pixels, float* map, float* threshold, SignMap signs)
    {
        var all = signs.Layout.Channels;
        if (narrower is not null && !Fits(all))
        {
            narrower.Pack(firstPixel, pixels, map, threshold, signs);
            return;
        }
        var to = new SignMapCursor(signs, firstPixel);
        var source = map + (long)firstPixel * all;
        for (var pixel = 0; pixel < pixels; pixel++, source += all, to.Next())
            for (var first = 0; first < all; first += Block)
            {
                var channels = Math.Min(Block, all - first);
                TEncoder.Write(Bits(source + first, threshold + first, channels), channels, to.Block(first / Block));
            }
    }

    private static bool Fits(int channels) => channels % TFloats.Lanes == 0;

    /// <summary>Computes y of up to 64 channels of a pixel and returns their signs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Activate(
        in EpilogueParameters parameters, int first, int channels, int* accumulators, float* shortcut, in ShortcutRepeat repeat, float* result,
        float* threshold)
    {
        float* scale = parameters.Scale + first, bias = parameters.Bias + first, slope = parameters.Slope + first, shift = parameters.Shift + first;
        var source = shortcut + repeat.Start(first);
        var bits = 0UL;
        nint i = 0;
        if (repeat.UseVectors)
            for (; i <= channels - TFloats.Lanes; i += TFloats.Lanes)
            {
                var z = TFloats.MultiplyAdd(TFloats.Convert(accumulators + i), TFloats.Load(scale + i), TFloats.Load(bias + i));
                z = TFloats.Add(z, TFloats.Load(source + (i & repeat.Mask)));
                var negative = TFloats.Multiply(z, TFloats.Load(slope + i));
                var y = TFloats.Add(TFloats.Select(TFloats.LessThan(TFloats.Broadcast(0), z), z, negative), TFloats.Load(shift + i));
                TFloats.Store(y, result + i);
                if (threshold != null) bits |= TSigns.GreaterOrEqual(y, TFloats.Load(threshold + first + i)) << (int)i;
            }
        for (; i < channels; i++)
        {
            var z = accumulators[i] * scale[i] + bias[i] + shortcut[repeat.Channel(first + (int)i)];
            var y = (z > 0 ? z : slope[i] * z) + shift[i];
            result[i] = y;
            if (threshold != null) bits |= ScalarSigns.GreaterOrEqual(y, threshold[first + i]) << (int)i;
        }
        return bits;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Bits(float* values, float* threshold, int channels)
    {
        var bits = 0UL;
        var i = 0;
        for (; i <= channels - TFloats.Lanes; i += TFloats.Lanes) bits |= TSigns.GreaterOrEqual(TFloats.Load(values + i), TFloats.Load(threshold + i)) << i;
        for (; i < channels; i++) bits |= ScalarSigns.GreaterOrEqual(values[i], threshold[i]) << i;
        return bits;
    }
}

/// <summary>Maps result channels to shortcut channels, where a shortcut of fewer channels repeats, 64 channels at a time.</summary>
internal readonly struct ShortcutRepeat
{
    private readonly int channels;
    private readonly bool once;

    /// <param name="channels">Channels of the shortcut.</param>
    /// <param name="all">Channels of the result.</param>
    /// <param name="lanes">Channels per vector.</param>
    public ShortcutRepeat(int channels, int all, int lanes)
    {
        this.channels = channels;
        once = channels == all;
        var fills = once || channels % SignLayout.Block == 0;
        Mask = fills ? -1 : channels - 1;
        UseVectors = fills || SignLayout.Block % channels == 0 && channels % lanes == 0;
    }

    /// <summary>Whether vectors can read 64 channels: none reads past the end of the shortcut, and <see cref="Mask"/> wraps to its start.</summary>
    public bool UseVectors { get; }

    /// <summary>Mask for channel offsets from <see cref="Start"/>.</summary>
    public nint Mask { get; }

    /// <summary>The shortcut channel of the first of 64 result channels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Start(int first) => once ? first : first % channels;

    /// <summary>The shortcut channel of a result channel.</summary>
    public int Channel(int channel) => channel % channels;
}
