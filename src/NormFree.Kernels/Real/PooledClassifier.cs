using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary>A network's last layers: global average pooling, then a linear layer, prepared for an instruction set.</summary>
/// <remarks>
/// <para>mean[c] = Σ_p map[p][c] / pixels; logits[k] = bias[k] + Σ_c weight[k][c]·mean[c].</para>
/// <para>Instances are thread-safe.</para>
/// </remarks>
public abstract unsafe class PooledClassifier : IDisposable
{
    /// <summary><see cref="PaddedChannels"/> is a multiple of this.</summary>
    public const int ChannelMultiple = 16;

    private protected PooledClassifier(int channels, int classes) => (Channels, Classes) = (channels, classes);

    /// <summary>Copies the weights into a padded layout.</summary>
    /// <param name="set">The instruction set.</param>
    /// <param name="channels">Channels of the map.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="weights">classes × channels.</param>
    /// <param name="bias">One per class.</param>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static PooledClassifier Create(InstructionSet set, int channels, int classes, float* weights, float* bias) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new PooledClassifier<Avx512Floats, Vector512<float>>(channels, classes, weights, bias),
        InstructionSet.Avx2 => new PooledClassifier<Avx2Floats, Vector256<float>>(channels, classes, weights, bias),
        InstructionSet.AdvSimd => new PooledClassifier<AdvSimdFloats, Vector128<float>>(channels, classes, weights, bias),
        _ => new PooledClassifier<ScalarFloats, float>(channels, classes, weights, bias),
    };

    /// <summary>Channels of the map.</summary>
    public int Channels { get; }

    /// <summary>Number of classes.</summary>
    public int Classes { get; }

    /// <summary>Channels rounded up to <see cref="ChannelMultiple"/>: the length of the means.</summary>
    public int PaddedChannels => (Channels + ChannelMultiple - 1) / ChannelMultiple * ChannelMultiple;

    /// <summary>Computes the means of some channels.</summary>
    /// <param name="pixels">Pixels of the map.</param>
    /// <param name="map">pixels × channels.</param>
    /// <param name="first">The first channel.</param>
    /// <param name="count">Number of channels.</param>
    /// <param name="means"><see cref="PaddedChannels"/> values; only those of these channels are written.</param>
    public abstract void Average(int pixels, float* map, int first, int count, float* means);

    /// <summary>Computes the logits of some classes.</summary>
    /// <param name="means"><see cref="PaddedChannels"/> values; 0 past the last channel.</param>
    /// <param name="first">The first class.</param>
    /// <param name="count">Number of classes.</param>
    /// <param name="logits">Logits of all classes; only those of these classes are written.</param>
    public abstract void Classify(float* means, int first, int count, float* logits);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary><see cref="PooledClassifier"/> for one instruction set; each load of a mean serves four classes.</summary>
/// <remarks>Bound by reading the weights from the third-level cache or from memory. Rows of weights are padded with zeros to whole vectors.</remarks>
internal sealed unsafe class PooledClassifier<TFloats, TVector> : PooledClassifier
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private const int Group = 4;

    private readonly NativeBuffer<float> weights;
    private readonly NativeBuffer<float> bias;

    public PooledClassifier(int channels, int classes, float* weights, float* bias) : base(channels, classes)
    {
        this.weights = new NativeBuffer<float>((long)classes * PaddedChannels).Cleared();
        this.bias = new NativeBuffer<float>(classes);
        new Span<float>(bias, classes).CopyTo(new Span<float>(this.bias.Pointer, classes));
        for (var k = 0; k < classes; k++)
            new Span<float>(weights + (long)k * channels, channels).CopyTo(new Span<float>(this.weights.Pointer + (long)k * PaddedChannels, channels));
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Average(int pixels, float* map, int first, int count, float* means)
    {
        var channel = first;
        for (; channel + TFloats.Lanes <= first + count; channel += TFloats.Lanes)
        {
            var sum = TFloats.Broadcast(0);
            var source = map + channel;
            for (var pixel = 0; pixel < pixels; pixel++, source += Channels) sum = TFloats.Add(sum, TFloats.Load(source));
            TFloats.Store(TFloats.Divide(sum, TFloats.Broadcast(pixels)), means + channel);
        }
        for (; channel < first + count; channel++)
        {
            var sum = 0f;
            for (var pixel = 0; pixel < pixels; pixel++) sum += map[(nint)pixel * Channels + channel];
            means[channel] = sum / pixels;
        }
    }

    /// <inheritdoc/>
    public override void Classify(float* means, int first, int count, float* logits)
    {
        var k = first;
        for (; k + Group <= first + count; k += Group) FourClasses(means, weights.Pointer + (long)k * PaddedChannels, bias.Pointer + k, logits + k);
        for (; k < first + count; k++) logits[k] = bias.Pointer[k] + OneClass(means, weights.Pointer + (long)k * PaddedChannels);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        weights.Dispose();
        bias.Dispose();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void FourClasses(float* means, float* row, float* bias, float* logits)
    {
        nint step = PaddedChannels;
        TVector a = TFloats.Broadcast(0), b = a, c = a, d = a;
        for (var i = 0; i < PaddedChannels; i += TFloats.Lanes)
        {
            var mean = TFloats.Load(means + i);
            var at = row + i;
            a = TFloats.MultiplyAdd(mean, TFloats.Load(at), a);
            b = TFloats.MultiplyAdd(mean, TFloats.Load(at + step), b);
            c = TFloats.MultiplyAdd(mean, TFloats.Load(at + 2 * step), c);
            d = TFloats.MultiplyAdd(mean, TFloats.Load(at + 3 * step), d);
        }
        logits[0] = bias[0] + TFloats.Sum(a);
        logits[1] = bias[1] + TFloats.Sum(b);
        logits[2] = bias[2] + TFloats.Sum(c);
        logits[3] = bias[3] + TFloats.Sum(d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private float OneClass(float* means, float* row)
    {
        var sum = TFloats.Broadcast(0);
        for (var i = 0; i < PaddedChannels; i += TFloats.Lanes) sum = TFloats.MultiplyAdd(TFloats.Load(means + i), TFloats.Load(row + i), sum);
        return TFloats.Sum(sum);
    }
}
