using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Convolutions;

/// <summary>Counts every word: for processors with an instruction for it.</summary>
internal readonly unsafe struct CountingProducts<TBits, TVector> : IXnorProducts
    where TBits : struct, IBitVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>So many counts of up to 8 fit into a byte.</summary>
    private const int WordsOfByte = 31;

    /// <inheritdoc/>
    public static int Filters => TBits.Lanes;

    /// <inheritdoc/>
    public static int Pixels => 4;

    /// <inheritdoc/>
    public static void Block(ulong* pixels, nint pixelStride, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        ulong* a = pixels, b = a + pixelStride, c = b + pixelStride, d = c + pixelStride;
        TVector sumA = TBits.Zero, sumB = sumA, sumC = sumA, sumD = sumA;
        for (var first = 0; first < words; first += WordsOfByte)
        {
            var end = Math.Min(words, first + WordsOfByte);
            TVector bytesA = TBits.Zero, bytesB = bytesA, bytesC = bytesA, bytesD = bytesA;
            for (nint i = first; i < end; i++)
            {
                var word = TBits.Load(filters + i * PreparedFilters.Interleave);
                bytesA = Count(bytesA, word, a + i);
                bytesB = Count(bytesB, word, b + i);
                bytesC = Count(bytesC, word, c + i);
                bytesD = Count(bytesD, word, d + i);
            }
            sumA = TBits.AddWords(sumA, TBits.SumBytes(bytesA));
            sumB = TBits.AddWords(sumB, TBits.SumBytes(bytesB));
            sumC = TBits.AddWords(sumC, TBits.SumBytes(bytesC));
            sumD = TBits.AddWords(sumD, TBits.SumBytes(bytesD));
        }
        TBits.Store(sumA, bits, target);
        TBits.Store(sumB, bits, target + targetStride);
        TBits.Store(sumC, bits, target + 2 * targetStride);
        TBits.Store(sumD, bits, target + 3 * targetStride);
    }

    /// <inheritdoc/>
    public static void Single(ulong* pixel, ulong* filters, int words, int bits, int* target)
    {
        var sum = TBits.Zero;
        for (var first = 0; first < words; first += WordsOfByte)
        {
            var end = Math.Min(words, first + WordsOfByte);
            var bytes = TBits.Zero;
            for (nint i = first; i < end; i++)
                bytes = Count(bytes, TBits.Load(filters + i * PreparedFilters.Interleave), pixel + i);
            sum = TBits.AddWords(sum, TBits.SumBytes(bytes));
        }
        TBits.Store(sum, bits, target);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Count(TVector bytes, TVector filter, ulong* word) => TBits.AddBytes(bytes, TBits.CountBytes(TBits.Xor(filter, word)));
}
