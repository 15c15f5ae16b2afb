using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace NormFree.Kernels.Simd;

/// <summary>Two words. CNT counts the bits of sixteen bytes at once, which no adder beats.</summary>
public readonly unsafe struct AdvSimdBits : IBitVectors<Vector128<ulong>>
{
    /// <inheritdoc/>
    public static int Lanes => 2;

    /// <inheritdoc/>
    public static Vector128<ulong> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector128<ulong>.Zero;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<ulong> Load(ulong* source) => Vector128.Load(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<ulong> Xor(Vector128<ulong> a, ulong* word) => a ^ Vector128.Create(*word);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<ulong> CountBytes(Vector128<ulong> a) => AdvSimd.PopCount(a.AsByte()).AsUInt64();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<ulong> AddBytes(Vector128<ulong> a, Vector128<ulong> b) => (a.AsByte() + b.AsByte()).AsUInt64();

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<ulong> SumBytes(Vector128<ulong> a) =>
        AdvSimd.AddPairwiseWidening(AdvSimd.AddPairwiseWidening(AdvSimd.AddPairwiseWidening(a.AsByte())));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<ulong> AddWords(Vector128<ulong> a, Vector128<ulong> b) => a + b;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Vector128<ulong> counts, int bits, int* target)
    {
        var low = AdvSimd.ExtractNarrowingLower(counts).AsInt32();
        (Vector64.Create(bits) - Vector64.ShiftLeft(low, 1)).Store(target);
    }
}
