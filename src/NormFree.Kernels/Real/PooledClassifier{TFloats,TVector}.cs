using System.Runtime.CompilerServices;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary><see cref="PooledClassifier"/> on one instruction set: four classes at once read each mean once.</summary>
/// <remarks>Weights come from the third-level cache or from memory, which is what limits it. Rows of weights are padded with zeros to whole vectors.</remarks>
internal sealed unsafe class PooledClassifier<TFloats, TVector> : PooledClassifier
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private const int Group = 4;

    private readonly NativeBuffer<float> weights;
    private readonly NativeBuffer<float> bias;

    public PooledClassifier(int channels, int classes, float* weights, float* bias) : base(channels, classes)
    {
        this.weights = new NativeBuffer<float>((long)classes * Means).Cleared();
        this.bias = new NativeBuffer<float>(classes);
        new Span<float>(bias, classes).CopyTo(new Span<float>(this.bias.Pointer, classes));
        for (var k = 0; k < classes; k++)
            new Span<float>(weights + (long)k * channels, channels).CopyTo(new Span<float>(this.weights.Pointer + (long)k * Means, channels));
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
        for (; k + Group <= first + count; k += Group) Four(means, weights.Pointer + (long)k * Means, bias.Pointer + k, logits + k);
        for (; k < first + count; k++) logits[k] = bias.Pointer[k] + One(means, weights.Pointer + (long)k * Means);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        weights.Dispose();
        bias.Dispose();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Four(float* means, float* row, float* bias, float* logits)
    {
        nint step = Means;
        TVector a = TFloats.Broadcast(0), b = a, c = a, d = a;
        for (var i = 0; i < Means; i += TFloats.Lanes)
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
    private float One(float* means, float* row)
    {
        var sum = TFloats.Broadcast(0);
        for (var i = 0; i < Means; i += TFloats.Lanes) sum = TFloats.MultiplyAdd(TFloats.Load(means + i), TFloats.Load(row + i), sum);
        return TFloats.Sum(sum);
    }
}
