using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>
/// Logic and counting on vectors of 64-bit words: what an instruction set that cannot count bits must offer to the XNOR convolution. Every bit
/// position has its adders; a lane belongs to one output channel, so that sums never go across lanes.
/// </summary>
/// <remarks>
/// Many words are added up in carry-save form (Harley and Seal), and only the few that remain are counted, by table lookup. Reference: Muła, Kurz,
/// Lemire, "Faster population counts using AVX2 instructions", The Computer Journal 61 (2018).
/// </remarks>
/// <typeparam name="TVector">What a register holds: <see cref="Lanes"/> words.</typeparam>
public unsafe interface ICarrySaveVectors<TVector> where TVector : unmanaged
{
    /// <summary>64-bit words in a vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>No bit set.</summary>
    static abstract TVector Zero { get; }

    /// <summary>The <see cref="Lanes"/> words from an address, which need not be aligned.</summary>
    static abstract TVector Load(ulong* source);

    /// <summary>a ⊕ word, the word the same for all lanes.</summary>
    static abstract TVector Xor(TVector a, ulong* word);

    /// <summary>Full adder: sum ← sum ⊕ a ⊕ b; returns the carries, the majority of the three.</summary>
    static abstract TVector Add(ref TVector sum, TVector a, TVector b);

    /// <summary>How many bits of each byte are set.</summary>
    static abstract TVector CountBytes(TVector a);

    /// <summary>For each byte: bits in ones + 2·bits in twos + 4·bits in fours, at most 56.</summary>
    static abstract TVector CountBytes(TVector ones, TVector twos, TVector fours);

    /// <summary>For each byte: 8·bits in eights, at most 64.</summary>
    static abstract TVector CountEights(TVector eights);

    /// <summary>Sums byte by byte.</summary>
    static abstract TVector AddBytes(TVector a, TVector b);

    /// <summary>The sum of each word's bytes, as a 64-bit number.</summary>
    static abstract TVector SumBytes(TVector a);

    /// <summary>a + 16·b, 64-bit numbers.</summary>
    static abstract TVector AddSixteens(TVector a, TVector b);

    /// <summary>Writes bits − 2·counts, lane by lane, as <see cref="Lanes"/> 32-bit integers.</summary>
    static abstract void Store(TVector counts, int bits, int* target);
}

/// <summary>Four words.</summary>
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

    /// <summary>The low halves of the four numbers are picked by one permutation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector256<ulong> counts, int bits, int* target)
    {
        var low = Avx2.PermuteVar8x32(counts.AsInt32(), Vector256.Create(0, 2, 4, 6, 0, 2, 4, 6)).GetLower();
        (Vector128.Create(bits) - Vector128.ShiftLeft(low, 1)).Store(target);
    }

    /// <summary>weight·(set bits), byte by byte: by a table for each half of a byte.</summary>
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

/// <summary>Eight words. .NET 10 has no intrinsic for VPOPCNTQ; ternary logic makes the adders cheap instead.</summary>
public readonly unsafe struct Avx512Bits : ICarrySaveVectors<Vector512<ulong>>
{
    // Tables of ternary logic: bit 4·first + 2·second + third is the result.
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

    /// <summary>Bits in ones + 2·bits in twos + 4·bits in fours, byte by byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> CountBytes(Vector512<ulong> ones, Vector512<ulong> twos, Vector512<ulong> fours)
    {
        if (!Avx512Vbmi.IsSupported) return AddBytes(Lookup(ones, 1), AddBytes(Lookup(twos, 2), Lookup(fours, 4)));
        // An index has six bits: one lookup takes six of each byte's, and a fourth one the two that are left of all three.
        var left = Avx512F.TernaryLogic(
            Vector512.Create(0x0303_0303_0303_0303UL), Vector512.ShiftRightLogical(ones, 6), Vector512.ShiftRightLogical(twos, 4), FirstChooses);
        left = Avx512F.TernaryLogic(Vector512.Create(0x0F0F_0F0F_0F0F_0F0FUL), left, Vector512.ShiftRightLogical(fours, 2), FirstChooses);
        return AddBytes(
            AddBytes(Permute(ones, Six(1)), Permute(twos, Six(2))),
            AddBytes(Permute(fours, Six(4)), Permute(left, Pairs(1, 2, 4))));
    }

    /// <summary>weight·(set bits), byte by byte: by a table for each half of a byte.</summary>
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

    /// <summary>For permutations: weight·(set bits of a six-bit index).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<byte> Six(byte weight)
    {
        const ulong three = 0x0302_0201_0201_0100, one = 0x0101_0101_0101_0101;
        return Vector512.Create(
            three * weight, (three + one) * weight, (three + one) * weight, (three + 2 * one) * weight,
            (three + one) * weight, (three + 2 * one) * weight, (three + 2 * one) * weight, (three + 3 * one) * weight).AsByte();
    }

    /// <summary>For permutations: first·(set bits among the index's lowest two) + second·(among the next two) + third·(among the highest two).</summary>
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
