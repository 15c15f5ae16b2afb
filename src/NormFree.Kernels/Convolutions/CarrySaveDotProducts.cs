using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Convolutions;

/// <summary>Dot products by carry-save adders, for vector instruction sets without a population count: one count per sixteen words.</summary>
/// <remarks>
/// <para>Each bit position has a binary counter; the vectors ones, twos, fours and eights are its digits. The remainder of words ÷ 16 comes first, while
/// the counters are empty and cannot overflow.</para>
/// <para>Performance on Zen 5 with 512-bit vectors: 36 words × 8 filters take 144 operations per pixel, at least 36 cycles at four per cycle; 46 were
/// measured, because each adder waits two to three cycles for the one before. Three pixels at once is the most that fits the registers (two are 5 %
/// slower, four spill). Computing the sum and carry of two products from shared terms needs three operations instead of four but is no faster, because
/// they depend on each other. Counting once per 32 words saves 2 % of the operations but spills.</para>
/// </remarks>
internal readonly unsafe struct CarrySaveDotProducts<TBits, TVector> : IXnorDotProducts
    where TBits : struct, ICarrySaveVectors<TVector>
    where TVector : unmanaged
{
    private const int Step = XnorFilters.Interleave;

    /// <inheritdoc/>
    public static int Filters => TBits.Lanes;

    /// <summary>31·16 words, since a byte holds 31 counts of up to 8, plus a remainder of 15.</summary>
    public static int MaxWords => 31 * 16 + 15;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        for (; count > 0; count -= 3, pixels += 3 * stride, target += 3 * targetStride)
        {
            // With fewer than three pixels left, the last one is computed more than once.
            int b = Math.Min(count, 2) - 1, c = Math.Min(count, 3) - 1;
            var from = new ThreePointers(pixels, b * stride, c * stride);
            var filter = filters;
            var ones = new ThreePixels<TVector>(TBits.Zero);
            var twos = ones;
            var fours = ones;
            var eights = ones;
            var bytes = ones;
            if ((words & 1) != 0)
            {
                var word = TBits.Load(filter);
                ones.A = TBits.Xor(word, from.A);
                ones.B = TBits.Xor(word, from.B);
                ones.C = TBits.Xor(word, from.C);
                from.Advance(1);
                filter += Step;
            }
            if ((words & 2) != 0)
            {
                Two(from, filter, 0, ref ones, out twos);
                from.Advance(2);
                filter += 2 * Step;
            }
            if ((words & 4) != 0)
            {
                Four(from, filter, 0, ref ones, ref twos, out fours);
                from.Advance(4);
                filter += 4 * Step;
            }
            if ((words & 8) != 0)
            {
                Eight(from, filter, 0, ref ones, ref twos, ref fours, out eights);
                from.Advance(8);
                filter += 8 * Step;
            }
            for (var sixteens = words >> 4; sixteens > 0; sixteens--)
            {
                Eight(from, filter, 0, ref ones, ref twos, ref fours, out var first);
                Eight(from, filter, 8, ref ones, ref twos, ref fours, out var second);
                bytes.A = TBits.AddBytes(bytes.A, TBits.CountBytes(TBits.Add(ref eights.A, first.A, second.A)));
                bytes.B = TBits.AddBytes(bytes.B, TBits.CountBytes(TBits.Add(ref eights.B, first.B, second.B)));
                bytes.C = TBits.AddBytes(bytes.C, TBits.CountBytes(TBits.Add(ref eights.C, first.C, second.C)));
                from.Advance(16);
                filter += 16 * Step;
            }
            ThreePixels<TVector> sum;
            sum.A = TBits.CountBytes(ones.A, twos.A, fours.A);
            sum.B = TBits.CountBytes(ones.B, twos.B, fours.B);
            sum.C = TBits.CountBytes(ones.C, twos.C, fours.C);
            if (words >= 8)
            {
                sum.A = TBits.AddBytes(sum.A, TBits.CountEights(eights.A));
                sum.B = TBits.AddBytes(sum.B, TBits.CountEights(eights.B));
                sum.C = TBits.AddBytes(sum.C, TBits.CountEights(eights.C));
            }
            sum.A = TBits.SumBytes(sum.A);
            sum.B = TBits.SumBytes(sum.B);
            sum.C = TBits.SumBytes(sum.C);
            if (words >= 16)
            {
                sum.A = TBits.AddSixteens(sum.A, TBits.SumBytes(bytes.A));
                sum.B = TBits.AddSixteens(sum.B, TBits.SumBytes(bytes.B));
                sum.C = TBits.AddSixteens(sum.C, TBits.SumBytes(bytes.C));
            }
            TBits.Store(sum.A, bits, target);
            TBits.Store(sum.B, bits, target + b * targetStride);
            TBits.Store(sum.C, bits, target + c * targetStride);
        }
    }

    /// <summary>Adds two words, <paramref name="at"/> words after the pointers; returns the carry out of the ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Two(in ThreePointers from, ulong* filter, int at, ref ThreePixels<TVector> ones, out ThreePixels<TVector> carry)
    {
        TVector first = TBits.Load(filter + at * Step), second = TBits.Load(filter + (at + 1) * Step);
        carry.A = TBits.Add(ref ones.A, TBits.Xor(first, from.A + at), TBits.Xor(second, from.A + at + 1));
        carry.B = TBits.Add(ref ones.B, TBits.Xor(first, from.B + at), TBits.Xor(second, from.B + at + 1));
        carry.C = TBits.Add(ref ones.C, TBits.Xor(first, from.C + at), TBits.Xor(second, from.C + at + 1));
    }

    /// <summary>Adds four words; returns the carry out of the twos.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Four(
        in ThreePointers from, ulong* filter, int at, ref ThreePixels<TVector> ones, ref ThreePixels<TVector> twos, out ThreePixels<TVector> carry)
    {
        Two(from, filter, at, ref ones, out var first);
        Two(from, filter, at + 2, ref ones, out var second);
        Add(ref twos, first, second, out carry);
    }

    /// <summary>Adds eight words; returns the carry out of the fours.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Eight(
        in ThreePointers from, ulong* filter, int at, ref ThreePixels<TVector> ones, ref ThreePixels<TVector> twos, ref ThreePixels<TVector> fours,
        out ThreePixels<TVector> carry)
    {
        Four(from, filter, at, ref ones, ref twos, out var first);
        Four(from, filter, at + 4, ref ones, ref twos, out var second);
        Add(ref fours, first, second, out carry);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(
        ref ThreePixels<TVector> sum, in ThreePixels<TVector> first, in ThreePixels<TVector> second, out ThreePixels<TVector> carry)
    {
        carry.A = TBits.Add(ref sum.A, first.A, second.A);
        carry.B = TBits.Add(ref sum.B, first.B, second.B);
        carry.C = TBits.Add(ref sum.C, first.C, second.C);
    }
}

/// <summary>One vector for each of three pixels.</summary>
internal struct ThreePixels<TVector>(TVector all) where TVector : unmanaged
{
    public TVector A = all, B = all, C = all;
}

/// <summary>Pointers to the next words of three pixels.</summary>
internal unsafe struct ThreePointers(ulong* pixels, nint toB, nint toC)
{
    public ulong* A = pixels, B = pixels + toB, C = pixels + toC;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Advance(int words)
    {
        A += words;
        B += words;
        C += words;
    }
}
