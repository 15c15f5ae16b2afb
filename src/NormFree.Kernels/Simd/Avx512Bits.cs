using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>Eight words. .NET 10 has no intrinsic for VPOPCNTQ; ternary logic makes the adders cheap instead.</summary>
public readonly unsafe struct Avx512Bits : ICarrySaveVectors<Vector512<ulong>>
{
    private const byte Parity = 0x96, Majority = 0xE8;

    /// <summary>first ? ¬second : third, as a table over the three bits.</summary>
    private const byte NotSecondElseThird = 0x3A;

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

    /// <summary>With t = sum ⊕ x and s = t ⊕ y the carry is s' where the first two differ, y = ¬s, and the old sum where they agree.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> AddProducts(ref Vector512<ulong> sum, Vector512<ulong> a, Vector512<ulong> b, ulong* words)
    {
        var old = sum;
        var half = Avx512F.TernaryLogic(old, a, Vector512.Create(words[0]), Parity);
        sum = Avx512F.TernaryLogic(half, b, Vector512.Create(words[1]), Parity);
        return Avx512F.TernaryLogic(half, sum, old, NotSecondElseThird);
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
    public static Vector512<ulong> AddWords(Vector512<ulong> a, Vector512<ulong> b) => a + b;

    /// <summary>A byte of the first four holds up to 8·15.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ulong> Total(
        Vector512<ulong> ones, Vector512<ulong> twos, Vector512<ulong> fours, Vector512<ulong> eights, Vector512<ulong> sixteens)
    {
        var low = AddBytes(AddBytes(Lookup(ones, 1), Lookup(twos, 2)), AddBytes(Lookup(fours, 4), Lookup(eights, 8)));
        return SumBytes(low) + Vector512.ShiftLeft(SumBytes(sixteens), 4);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector512<ulong> counts, int bits, int* target) =>
        (Vector256.Create(bits) - Vector256.ShiftLeft(Avx512F.ConvertToVector256Int32(counts), 1)).Store(target);

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
}
