using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>64 lookups of six bits: VPERMB, which processors with VBMI have (Intel since Ice Lake, AMD since Zen 4).</summary>
public readonly unsafe struct Avx512Lookups : ILookupVectors<Vector512<byte>>
{
    /// <inheritdoc/>
    public static int Lanes => 64;

    /// <inheritdoc/>
    public static int Registers => 32;

    /// <inheritdoc/>
    public static int IndexBits => 6;

    /// <inheritdoc/>
    public static Vector512<byte> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512<byte>.Zero;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Load(byte* source) => Vector512.LoadAligned(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Lookup(Vector512<byte> table, Vector512<byte> index) => Avx512Vbmi.PermuteVar64x8(table, index);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Add(Vector512<byte> a, Vector512<byte> b) => a + b;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Widen(Vector512<byte> bytes, bool add, short* sums)
    {
        var low = Avx512BW.ConvertToVector512Int16(bytes.GetLower().AsSByte());
        var high = Avx512BW.ConvertToVector512Int16(bytes.GetUpper().AsSByte());
        if (add) (low, high) = (low + Vector512.LoadAligned(sums), high + Vector512.LoadAligned(sums + Vector512<short>.Count));
        low.StoreAligned(sums);
        high.StoreAligned(sums + Vector512<short>.Count);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Double(short* sums, int* target)
    {
        for (var i = 0; i < Lanes; i += Vector512<int>.Count)
            Vector512.ShiftLeft(Avx512F.ConvertToVector512Int32(Vector256.LoadAligned(sums + i)), 1).Store(target + i);
    }
}
