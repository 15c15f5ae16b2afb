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
