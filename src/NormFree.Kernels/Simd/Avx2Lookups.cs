using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>32 lookups of four bits: VPSHUFB.</summary>
public readonly unsafe struct Avx2Lookups : ILookupVectors<Vector256<byte>>
{
    /// <inheritdoc/>
    public static int Lanes => 32;

    /// <inheritdoc/>
    public static int Registers => 16;

    /// <inheritdoc/>
    public static int IndexBits => 4;

    /// <inheritdoc/>
    public static Vector256<byte> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector256<byte>.Zero;
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Load(byte* source) => Vector256.LoadAligned(source);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Lookup(Vector256<byte> table, Vector256<byte> index) => Avx2.Shuffle(table, index);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> Add(Vector256<byte> a, Vector256<byte> b) => a + b;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Widen(Vector256<byte> bytes, bool add, short* sums)
    {
        var low = Avx2.ConvertToVector256Int16(bytes.GetLower().AsSByte());
        var high = Avx2.ConvertToVector256Int16(bytes.GetUpper().AsSByte());
        if (add) (low, high) = (low + Vector256.LoadAligned(sums), high + Vector256.LoadAligned(sums + Vector256<short>.Count));
        low.StoreAligned(sums);
        high.StoreAligned(sums + Vector256<short>.Count);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Double(short* sums, int* target)
    {
        for (var i = 0; i < Lanes; i += Vector256<int>.Count)
            Vector256.ShiftLeft(Avx2.ConvertToVector256Int32(Vector128.LoadAligned(sums + i)), 1).Store(target + i);
    }
}
