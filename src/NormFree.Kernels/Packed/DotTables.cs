using NormFree.Kernels.Memory;

namespace NormFree.Kernels.Packed;

/// <summary>For every group of signs of a pixel, half its scalar products with all groups of a filter: what <see cref="LookupFilters{TLookups, TVector}"/> adds up.</summary>
/// <remarks>
/// Table a has at w: bits/2 − popcount(a ⊕ w). One table more has zeros: for pixels outside the map. Tables are as long as a vector, and aligned to it.
/// </remarks>
internal static unsafe class DotTables
{
    /// <summary>Makes the tables.</summary>
    /// <param name="bits">Signs of a group.</param>
    /// <param name="length">Bytes of a table: a table repeats in it.</param>
    public static NativeBuffer<sbyte> Create(int bits, int length)
    {
        var groups = 1 << bits;
        var tables = new NativeBuffer<sbyte>((long)(groups + 1) * length).Cleared();
        for (var pixel = 0; pixel < groups; pixel++)
            for (var i = 0; i < length; i++)
                tables.Pointer[pixel * length + i] = (sbyte)(bits / 2 - int.PopCount(pixel ^ i % groups));
        return tables;
    }
}
