using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>Lookups in byte tables that fit a register, for <c>LookupFilters</c>.</summary>
/// <typeparam name="TVector">A register of <see cref="Lanes"/> bytes.</typeparam>
public unsafe interface ILookupVectors<TVector> where TVector : unmanaged
{
    /// <summary>Bytes per vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>Bits per index. A table has 2^bits entries and repeats to fill a vector.</summary>
    static abstract int IndexBits { get; }

    /// <summary>Number of vector registers.</summary>
    static abstract int Registers { get; }

    /// <summary>All bytes 0.</summary>
    static abstract TVector Zero { get; }

    /// <summary>Loads <see cref="Lanes"/> bytes from an address aligned to <see cref="Lanes"/>.</summary>
    static abstract TVector Load(byte* source);

    /// <summary>table[index] byte by byte; each index is below 2^<see cref="IndexBits"/>.</summary>
    static abstract TVector Lookup(TVector table, TVector index);

    /// <summary>a + b, byte by byte.</summary>
    static abstract TVector Add(TVector a, TVector b);

    /// <summary>Stores signed bytes as 16-bit integers, or adds them to those in memory; the address is aligned to 64 bytes.</summary>
    static abstract void Widen(TVector bytes, bool add, short* sums);

    /// <summary>Stores 2·(<see cref="Lanes"/> 16-bit integers) as 32-bit integers; the address of the sums is aligned to 64 bytes.</summary>
    static abstract void Double(short* sums, int* target);
}

/// <summary>32 lookups with four-bit indices (AVX2's VPSHUFB).</summary>
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

/// <summary>64 lookups with six-bit indices: VPERMB of AVX-512 VBMI (Intel since Ice Lake, AMD since Zen 4).</summary>
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
