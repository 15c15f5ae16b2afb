using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

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
