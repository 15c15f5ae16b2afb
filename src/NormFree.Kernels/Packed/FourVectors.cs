using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary>Four vectors that stay in registers while they are a local variable: the JIT promotes structs of up to four fields.</summary>
internal struct FourVectors<TLookups, TVector>
    where TLookups : struct, ILookupVectors<TVector>
    where TVector : unmanaged
{
    public TVector A, B, C, D;

    /// <summary>All bytes 0.</summary>
    public static FourVectors<TLookups, TVector> Zero
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => new() { A = TLookups.Zero, B = TLookups.Zero, C = TLookups.Zero, D = TLookups.Zero };
    }

    /// <summary>Looks up four vectors of filters in one pixel's table and adds the results.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddFilters(TVector table, in FourVectors<TLookups, TVector> filters)
    {
        A = TLookups.Add(A, TLookups.Lookup(table, filters.A));
        B = TLookups.Add(B, TLookups.Lookup(table, filters.B));
        C = TLookups.Add(C, TLookups.Lookup(table, filters.C));
        D = TLookups.Add(D, TLookups.Lookup(table, filters.D));
    }

    /// <summary>Looks up one vector of filters in four pixels' tables and adds the results.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddPixels(in FourVectors<TLookups, TVector> tables, TVector filters)
    {
        A = TLookups.Add(A, TLookups.Lookup(tables.A, filters));
        B = TLookups.Add(B, TLookups.Lookup(tables.B, filters));
        C = TLookups.Add(C, TLookups.Lookup(tables.C, filters));
        D = TLookups.Add(D, TLookups.Lookup(tables.D, filters));
    }

    /// <summary>Loads four vectors from four offsets.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe FourVectors<TLookups, TVector> Load(byte* source, nint a, nint b, nint c, nint d) => new()
    {
        A = TLookups.Load(source + a),
        B = TLookups.Load(source + b),
        C = TLookups.Load(source + c),
        D = TLookups.Load(source + d),
    };

    /// <summary>Stores the bytes as 16-bit sums, or adds them to the sums, <paramref name="stride"/> values apart; then resets the vectors to 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public unsafe void Flush(bool add, short* sums, int stride)
    {
        TLookups.Widen(A, add, sums);
        TLookups.Widen(B, add, sums + stride);
        TLookups.Widen(C, add, sums + 2 * stride);
        TLookups.Widen(D, add, sums + 3 * stride);
        A = B = C = D = TLookups.Zero;
    }
}
