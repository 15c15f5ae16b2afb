using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Convolutions;

/// <summary>Adds sixteen words up by full adders before it counts one: for processors that count bits by table lookup alone.</summary>
/// <remarks>
/// Each bit position keeps a binary counter, whose digits are the vectors ones, twos, fours and eights. What is left over when the words are
/// divided by sixteen comes first, while the counters are empty and nothing can carry out of them.
/// </remarks>
internal readonly unsafe struct CarrySaveProducts<TBits, TVector> : IXnorProducts
    where TBits : struct, ICarrySaveVectors<TVector>
    where TVector : unmanaged
{
    private const int Step = PreparedFilters.Interleave;

    /// <summary>31 sixteens, of which a byte holds the counts of up to 8, and the rest.</summary>
    private const int MostWords = 31 * 16 + 15;

    /// <inheritdoc/>
    public static int Filters => TBits.Lanes;

    /// <inheritdoc/>
    public static int Pixels => 2;

    /// <inheritdoc/>
    public static void Block(ulong* pixels, nint pixelStride, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        ulong* a = pixels, b = a + pixelStride;
        TVector totalA = TBits.Zero, totalB = totalA;
        do
        {
            var count = Math.Min(words, MostWords);
            words -= count;
            TVector onesA = TBits.Zero, twosA = onesA, foursA = onesA, eightsA = onesA, sixteensA = onesA;
            TVector onesB = onesA, twosB = onesA, foursB = onesA, eightsB = onesA, sixteensB = onesA;
            if ((count & 1) != 0)
            {
                var word = TBits.Load(filters);
                onesA = TBits.Xor(word, a);
                onesB = TBits.Xor(word, b);
                a += 1;
                b += 1;
                filters += Step;
            }
            if ((count & 2) != 0)
            {
                Two(a, b, filters, ref onesA, ref onesB, out twosA, out twosB);
                a += 2;
                b += 2;
                filters += 2 * Step;
            }
            if ((count & 4) != 0)
            {
                Four(a, b, filters, ref onesA, ref onesB, ref twosA, ref twosB, out foursA, out foursB);
                a += 4;
                b += 4;
                filters += 4 * Step;
            }
            if ((count & 8) != 0)
            {
                Eight(a, b, filters, ref onesA, ref onesB, ref twosA, ref twosB, ref foursA, ref foursB, out eightsA, out eightsB);
                a += 8;
                b += 8;
                filters += 8 * Step;
            }
            for (var left = count >> 4; left > 0; left--)
            {
                Eight(a, b, filters, ref onesA, ref onesB, ref twosA, ref twosB, ref foursA, ref foursB, out var firstA, out var firstB);
                Eight(a + 8, b + 8, filters + 8 * Step, ref onesA, ref onesB, ref twosA, ref twosB, ref foursA, ref foursB, out var secondA, out var secondB);
                sixteensA = TBits.AddBytes(sixteensA, TBits.CountBytes(TBits.Add(ref eightsA, firstA, secondA)));
                sixteensB = TBits.AddBytes(sixteensB, TBits.CountBytes(TBits.Add(ref eightsB, firstB, secondB)));
                a += 16;
                b += 16;
                filters += 16 * Step;
            }
            totalA = TBits.AddWords(totalA, TBits.Total(onesA, twosA, foursA, eightsA, sixteensA));
            totalB = TBits.AddWords(totalB, TBits.Total(onesB, twosB, foursB, eightsB, sixteensB));
        }
        while (words > 0);
        TBits.Store(totalA, bits, target);
        TBits.Store(totalB, bits, target + targetStride);
    }

    /// <inheritdoc/>
    public static void Single(ulong* pixel, ulong* filters, int words, int bits, int* target) => Block(pixel, 0, filters, words, bits, target, 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Two(ulong* a, ulong* b, ulong* filters, ref TVector onesA, ref TVector onesB, out TVector carryA, out TVector carryB)
    {
        TVector first = TBits.Load(filters), second = TBits.Load(filters + Step);
        carryA = TBits.AddProducts(ref onesA, first, second, a);
        carryB = TBits.AddProducts(ref onesB, first, second, b);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Four(
        ulong* a, ulong* b, ulong* filters, ref TVector onesA, ref TVector onesB, ref TVector twosA, ref TVector twosB,
        out TVector carryA, out TVector carryB)
    {
        Two(a, b, filters, ref onesA, ref onesB, out var firstA, out var firstB);
        Two(a + 2, b + 2, filters + 2 * Step, ref onesA, ref onesB, out var secondA, out var secondB);
        carryA = TBits.Add(ref twosA, firstA, secondA);
        carryB = TBits.Add(ref twosB, firstB, secondB);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Eight(
        ulong* a, ulong* b, ulong* filters, ref TVector onesA, ref TVector onesB, ref TVector twosA, ref TVector twosB,
        ref TVector foursA, ref TVector foursB, out TVector carryA, out TVector carryB)
    {
        Four(a, b, filters, ref onesA, ref onesB, ref twosA, ref twosB, out var firstA, out var firstB);
        Four(a + 4, b + 4, filters + 4 * Step, ref onesA, ref onesB, ref twosA, ref twosB, out var secondA, out var secondB);
        carryA = TBits.Add(ref foursA, firstA, secondA);
        carryB = TBits.Add(ref foursB, firstB, secondB);
    }
}
