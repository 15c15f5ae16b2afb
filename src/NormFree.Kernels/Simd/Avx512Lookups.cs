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
    public static void AddTo(short* sums, Vector512<byte> bytes)
    {
        var low = Avx512BW.ConvertToVector512Int16(bytes.GetLower().AsSByte());
        var high = Avx512BW.ConvertToVector512Int16(bytes.GetUpper().AsSByte());
        (Vector512.LoadAligned(sums) + low).StoreAligned(sums);
        (Vector512.LoadAligned(sums + 32) + high).StoreAligned(sums + 32);
    }
}
