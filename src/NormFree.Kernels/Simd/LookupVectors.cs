using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>Lookups in tables of bytes that a register holds: what an instruction set must offer to <c>LookupFilters</c>.</summary>
/// <typeparam name="TVector">What a register holds: <see cref="Lanes"/> bytes.</typeparam>
public unsafe interface ILookupVectors<TVector> where TVector : unmanaged
{
    /// <summary>Bytes in a vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>Bits of an index: a table has 2^bits entries, and fills a vector as often as it fits.</summary>
    static abstract int IndexBits { get; }

    /// <summary>Vectors that the processor's registers hold.</summary>
    static abstract int Registers { get; }

    /// <summary>All bytes 0.</summary>
    static abstract TVector Zero { get; }

    /// <summary>The <see cref="Lanes"/> bytes from an address that is a multiple of their number.</summary>
    static abstract TVector Load(byte* source);

    /// <summary>Byte by byte table[index], each index below 2^<see cref="IndexBits"/>.</summary>
    static abstract TVector Lookup(TVector table, TVector index);

    /// <summary>a + b, byte by byte.</summary>
    static abstract TVector Add(TVector a, TVector b);

    /// <summary>Writes signed bytes as 16-bit numbers, or adds them to those that are there; the address is a multiple of 64.</summary>
    static abstract void Widen(TVector bytes, bool add, short* sums);

    /// <summary>Writes <see cref="Lanes"/> 16-bit numbers, times two, as 32-bit ones; the sums' address is a multiple of 64.</summary>
    static abstract void Double(short* sums, int* target);
}

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
