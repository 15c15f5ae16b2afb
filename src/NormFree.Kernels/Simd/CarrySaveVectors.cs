using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>
/// Bitwise logic and counting on vectors of 64-bit words, for the XNOR convolution on instruction sets without a vector population count. Each bit position
/// has its own adders, and each lane belongs to one output channel, so that no sum crosses lanes.
/// </summary>
/// <remarks>
/// Words are added in carry-save form (Harley–Seal); only the few words that remain are counted, by table lookup. Muła, Kurz, Lemire, "Faster population
/// counts using AVX2 instructions", The Computer Journal 61 (2018).
/// </remarks>
/// <typeparam name="TVector">A register of <see cref="Lanes"/> words.</typeparam>
public unsafe interface ICarrySaveVectors<TVector> where TVector : unmanaged
{
    /// <summary>64-bit words per vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>All bits 0.</summary>
    static abstract TVector Zero { get; }

    /// <summary>Loads <see cref="Lanes"/> words from an unaligned address.</summary>
    static abstract TVector Load(ulong* source);

    /// <summary>a ⊕ *word, with the same word in all lanes.</summary>
    static abstract TVector Xor(TVector a, ulong* word);

    /// <summary>Full adder: sum ← sum ⊕ a ⊕ b; returns the carries, i.e. the majority of the three.</summary>
    static abstract TVector Add(ref TVector sum, TVector a, TVector b);

    /// <summary>Number of set bits of each byte.</summary>
    static abstract TVector CountBytes(TVector a);

    /// <summary>For each byte: (set bits of ones) + 2·(of twos) + 4·(of fours), at most 56.</summary>
    static abstract TVector CountBytes(TVector ones, TVector twos, TVector fours);

    /// <summary>For each byte: 8·(set bits of eights), at most 64.</summary>
    static abstract TVector CountEights(TVector eights);

    /// <summary>a + b, byte by byte.</summary>
    static abstract TVector AddBytes(TVector a, TVector b);

    /// <summary>The sum of each word's bytes, as a 64-bit integer.</summary>
    static abstract TVector SumBytes(TVector a);

    /// <summary>a + 16·b, as 64-bit integers.</summary>
    static abstract TVector AddSixteens(TVector a, TVector b);

    /// <summary>Stores bits − 2·counts, lane by lane, as <see cref="Lanes"/> 32-bit integers.</summary>
    static abstract void Store(TVector counts, int bits, int* target);
}

/// <summary>Vectors of four words (AVX2).</summary>
public readonly unsafe struct Avx2Bits : ICarrySaveVectors<Vector256<ulong>>
{
    /// <inheritdoc/>
    public static int Lanes => 4;

    /// <inheritdoc/>
    public static Vector256<ulong> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector256<ulong>.Zero;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> Load(ulong* source) => Vector256.Load(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> Xor(Vector256<ulong> a, ulong* word) => a ^ Vector256.Create(*word);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> Add(ref Vector256<ulong> sum, Vector256<ulong> a, Vector256<ulong> b)
    {
        var half = sum ^ a;
        var carry = (sum & a) | (half & b);
        sum = half ^ b;
        return carry;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> CountBytes(Vector256<ulong> a) => Lookup(a, 1);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> AddBytes(Vector256<ulong> a, Vector256<ulong> b) => (a.AsByte() + b.AsByte()).AsUInt64();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> SumBytes(Vector256<ulong> a) =>
        Avx2.SumAbsoluteDifferences(a.AsByte(), Vector256<byte>.Zero).AsUInt64();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> CountEights(Vector256<ulong> eights) => Lookup(eights, 8);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> AddSixteens(Vector256<ulong> a, Vector256<ulong> b) => a + Vector256.ShiftLeft(b, 4);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<ulong> CountBytes(Vector256<ulong> ones, Vector256<ulong> twos, Vector256<ulong> fours) =>
        AddBytes(Lookup(ones, 1), AddBytes(Lookup(twos, 2), Lookup(fours, 4)));

    /// <summary>One permutation collects the low halves of the four results.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<ulong> counts, int bits, int* target)
    {
        var low = Avx2.PermuteVar8x32(counts.AsInt32(), Vector256.Create(0, 2, 4, 6, 0, 2, 4, 6)).GetLower();
        (Vector128.Create(bits) - Vector128.ShiftLeft(low, 1)).Store(target);
    }

    /// <summary>weight·(set bits) of each byte, by one table lookup per nibble.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Lookup(Vector256<ulong> a, byte weight)
    {
        var nibble = Vector256.Create((byte)15);
        var table = Vector256.Create(0x0302_0201_0201_0100UL * weight, 0x0403_0302_0302_0201UL * weight,
            0x0302_0201_0201_0100UL * weight, 0x0403_0302_0302_0201UL * weight).AsByte();
        var low = Avx2.Shuffle(table, a.AsByte() & nibble);
        var high = Avx2.Shuffle(table, Vector256.ShiftRightLogical(a.AsUInt16(), 4).AsByte() & nibble);
        return (low + high).AsUInt64();
    }
}

/// <summary>Vectors of eight words (AVX-512). .NET 10 has no intrinsic for VPOPCNTQ; ternary logic makes full adders cheap instead.</summary>
public readonly unsafe struct Avx512Bits : ICarrySaveVectors<Vector512<ulong>>
{
    // Truth tables of ternary logic: bit 4·first + 2·second + third is the result.
    private const byte Parity = 0x96, Majority = 0xE8;

    /// <summary>first ? second : third, bit by bit.</summary>
    private const byte FirstChooses = 0xCA;

    /// <inheritdoc/>
    public static int Lanes => 8;

    /// <inheritdoc/>
    public static Vector512<ulong> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512<ulong>.Zero;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Load(ulong* source) => Vector512.Load(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Xor(Vector512<ulong> a, ulong* word) => a ^ Vector512.Create(*word);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Add(ref Vector512<ulong> sum, Vector512<ulong> a, Vector512<ulong> b)
    {
        var carry = Avx512F.TernaryLogic(sum, a, b, Majority);
        sum = Avx512F.TernaryLogic(sum, a, b, Parity);
        return carry;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> CountBytes(Vector512<ulong> a) => Lookup(a, 1);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> AddBytes(Vector512<ulong> a, Vector512<ulong> b) => (a.AsByte() + b.AsByte()).AsUInt64();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> SumBytes(Vector512<ulong> a) =>
        Avx512BW.SumAbsoluteDifferences(a.AsByte(), Vector512<byte>.Zero).AsUInt64();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> CountEights(Vector512<ulong> eights) => Lookup(eights, 8);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> AddSixteens(Vector512<ulong> a, Vector512<ulong> b) => a + Vector512.ShiftLeft(b, 4);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<ulong> counts, int bits, int* target) =>
        (Vector256.Create(bits) - Vector256.ShiftLeft(Avx512F.ConvertToVector256Int32(counts), 1)).Store(target);

    /// <summary>For each byte: (set bits of ones) + 2·(of twos) + 4·(of fours).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> CountBytes(Vector512<ulong> ones, Vector512<ulong> twos, Vector512<ulong> fours)
    {
        if (!Avx512Vbmi.IsSupported) return AddBytes(Lookup(ones, 1), AddBytes(Lookup(twos, 2), Lookup(fours, 4)));
        // A permutation index has six bits: three lookups count the low six bits of each byte, and a fourth the remaining two bits of all three vectors.
        var left = Avx512F.TernaryLogic(
            Vector512.Create(0x0303_0303_0303_0303UL), Vector512.ShiftRightLogical(ones, 6), Vector512.ShiftRightLogical(twos, 4), FirstChooses);
        left = Avx512F.TernaryLogic(Vector512.Create(0x0F0F_0F0F_0F0F_0F0FUL), left, Vector512.ShiftRightLogical(fours, 2), FirstChooses);
        return AddBytes(
            AddBytes(Permute(ones, Six(1)), Permute(twos, Six(2))),
            AddBytes(Permute(fours, Six(4)), Permute(left, Pairs(1, 2, 4))));
    }

    /// <summary>weight·(set bits) of each byte, by one table lookup per nibble.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Lookup(Vector512<ulong> a, byte weight)
    {
        var nibble = Vector512.Create((byte)15);
        var table = Vector512.Create(0x0302_0201_0201_0100UL * weight, 0x0403_0302_0302_0201UL * weight,
            0x0302_0201_0201_0100UL * weight, 0x0403_0302_0302_0201UL * weight,
            0x0302_0201_0201_0100UL * weight, 0x0403_0302_0302_0201UL * weight,
            0x0302_0201_0201_0100UL * weight, 0x0403_0302_0302_0201UL * weight).AsByte();
        var low = Avx512BW.Shuffle(table, a.AsByte() & nibble);
        var high = Avx512BW.Shuffle(table, Vector512.ShiftRightLogical(a.AsUInt16(), 4).AsByte() & nibble);
        return (low + high).AsUInt64();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<ulong> Permute(Vector512<ulong> index, Vector512<byte> table) =>
        Avx512Vbmi.PermuteVar64x8(table, index.AsByte()).AsUInt64();

    /// <summary>Permutation table: weight·(set bits of a six-bit index).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Six(byte weight)
    {
        const ulong three = 0x0302_0201_0201_0100, one = 0x0101_0101_0101_0101;
        return Vector512.Create(
            three * weight, (three + one) * weight, (three + one) * weight, (three + 2 * one) * weight,
            (three + one) * weight, (three + 2 * one) * weight, (three + 2 * one) * weight, (three + 3 * one) * weight).AsByte();
    }

    /// <summary>Permutation table: first·(set bits of index bits 0–1) + second·(of bits 2–3) + third·(of bits 4–5).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Pairs(byte first, byte second, byte third)
    {
        const ulong low = 0x0201_0100_0201_0100, high = 0x0101_0101_0000_0000, one = 0x0101_0101_0101_0101;
        var even = first * low + second * high;
        var odd = even + second * one;
        var add = third * one;
        return Vector512.Create(even, odd, even + add, odd + add, even + add, odd + add, even + 2 * add, odd + 2 * add).AsByte();
    }
}
