using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace NormFree.Kernels.Convolutions;

/// <summary>Inner loops of the XNOR convolution: dot products of binary vectors.</summary>
internal unsafe interface IXnorDotProducts
{
    /// <summary>Filters at once; a divisor of <see cref="XnorFilters.Interleave"/>.</summary>
    static abstract int Filters { get; }

    /// <summary>Most words per call.</summary>
    static abstract int MaxWords { get; }

    /// <summary>target[p][f] = bits − 2·popcount(pixel p ⊕ filter f) for <see cref="Filters"/> filters.</summary>
    /// <param name="pixels">Words of the pixels.</param>
    /// <param name="stride">Words from one pixel to the next.</param>
    /// <param name="count">Number of pixels.</param>
    /// <param name="filters">Words of the filters, interleaved: the next word of a filter is <see cref="XnorFilters.Interleave"/> words away.</param>
    /// <param name="words">Words per pixel and per filter, at most <see cref="MaxWords"/>.</param>
    /// <param name="bits">Number of channels in these words.</param>
    /// <param name="target">Results.</param>
    /// <param name="targetStride">Results from one pixel to the next.</param>
    static abstract void Multiply(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride);
}

/// <summary>Population count word by word, for any processor.</summary>
internal readonly unsafe struct ScalarDotProducts : IXnorDotProducts
{
    /// <inheritdoc/>
    public static int Filters => 4;

    /// <inheritdoc/>
    public static int MaxWords => int.MaxValue;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        for (; count > 0; count--, pixels += stride, target += targetStride)
        {
            var filter = filters;
            int a = 0, b = 0, c = 0, d = 0;
            for (nint i = 0; i < words; i++, filter += XnorFilters.Interleave)
            {
                var word = pixels[i];
                a += BitOperations.PopCount(word ^ filter[0]);
                b += BitOperations.PopCount(word ^ filter[1]);
                c += BitOperations.PopCount(word ^ filter[2]);
                d += BitOperations.PopCount(word ^ filter[3]);
            }
            target[0] = bits - 2 * a;
            target[1] = bits - 2 * b;
            target[2] = bits - 2 * c;
            target[3] = bits - 2 * d;
        }
    }
}

/// <summary>Population count by CNT, which counts sixteen bytes at once and is faster than carry-save adders.</summary>
internal readonly unsafe struct AdvSimdDotProducts : IXnorDotProducts
{
    /// <summary>A byte holds this many counts of up to 8.</summary>
    private const int MaxWordsPerByte = 31;

    /// <inheritdoc/>
    public static int Filters => 4;

    /// <inheritdoc/>
    public static int MaxWords => int.MaxValue;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        for (; count > 0; count -= 2, pixels += 2 * stride, target += 2 * targetStride)
        {
            // Two pixels share each load of filter words. A last single pixel is computed twice.
            var second = Math.Min(count, 2) - 1;
            ulong* a = pixels, b = pixels + second * stride;
            Vector128<uint> lowA = default, highA = default, lowB = default, highB = default;
            for (var first = 0; first < words; first += MaxWordsPerByte)
            {
                var end = Math.Min(words, first + MaxWordsPerByte);
                Vector128<byte> bytesLowA = default, bytesHighA = default, bytesLowB = default, bytesHighB = default;
                for (nint i = first; i < end; i++)
                {
                    var filter = filters + i * XnorFilters.Interleave;
                    Vector128<ulong> low = Vector128.Load(filter), high = Vector128.Load(filter + 2);
                    Vector128<ulong> wordA = Vector128.Create(a[i]), wordB = Vector128.Create(b[i]);
                    bytesLowA += AdvSimd.PopCount((low ^ wordA).AsByte());
                    bytesHighA += AdvSimd.PopCount((high ^ wordA).AsByte());
                    bytesLowB += AdvSimd.PopCount((low ^ wordB).AsByte());
                    bytesHighB += AdvSimd.PopCount((high ^ wordB).AsByte());
                }
                lowA += Widen(bytesLowA);
                highA += Widen(bytesHighA);
                lowB += Widen(bytesLowB);
                highB += Widen(bytesHighB);
            }
            Store(lowA, highA, bits, target);
            Store(lowB, highB, bits, target + second * targetStride);
        }
    }

    /// <summary>Sums groups of four bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Widen(Vector128<byte> bytes) => AdvSimd.AddPairwiseWidening(AdvSimd.AddPairwiseWidening(bytes));

    /// <summary>Each filter has two partial counts, side by side; stores bits − 2·(their sum) for four filters.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<uint> low, Vector128<uint> high, int bits, int* target)
    {
        var counts = AdvSimd.Arm64.AddPairwise(low, high).AsInt32();
        (Vector128.Create(bits) - counts - counts).Store(target);
    }
}
