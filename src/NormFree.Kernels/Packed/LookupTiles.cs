using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary>Inner loops of <see cref="LookupFilters{TLookups, TVector}"/>: tiles of pixels × vectors of filters whose sums stay in registers.</summary>
/// <remarks>
/// <para>A group of signs costs one lookup and one addition per pixel and vector, one table load per pixel, and one load of filter groups per vector. Zen 5
/// can do 2 lookups per cycle and reaches 1.7 with their additions; with 64 filters × six signs per lookup that is 2500 GMAC/s at 3.9 GHz. Four pixels ×
/// four vectors reach 2200. Fewer vectors share a table load: two reach 1900, one 1200. Six pixels × four vectors gained 2 %.</para>
/// <para>Sums are bytes for a few groups and are then added to 16-bit sums, which are stored pixel by pixel, vector by vector.</para>
/// </remarks>
internal static unsafe class LookupTiles<TLookups, TVector>
    where TLookups : struct, ILookupVectors<TVector>
    where TVector : unmanaged
{
    private static int Lanes
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => TLookups.Lanes;
    }

    /// <summary>Groups whose sum fits a signed byte; half a group's dot product is at most IndexBits/2.</summary>
    public static int MaxGroups => sbyte.MaxValue / (TLookups.IndexBits / 2);

    /// <summary>Four pixels × four vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FourByFour(in LookupTile tile, ushort** pixels, short* sums)
    {
        ushort* p0 = pixels[0], p1 = pixels[1], p2 = pixels[2], p3 = pixels[3];
        byte* filters = tile.Filters, tables = tile.Tables;
        FourVectors<TLookups, TVector> a = FourVectors<TLookups, TVector>.Zero, b = a, c = a, d = a;
        var add = false;
        foreach (ref readonly var segment in tile.Segments)
        {
            var group = segment.Row * tile.RowStep + segment.First;
            for (var end = group + segment.Count; group < end; group++, filters += 4 * Lanes)
            {
                var four = FourVectors<TLookups, TVector>.Load(filters, 0, Lanes, 2 * Lanes, 3 * Lanes);
                a.AddFilters(TLookups.Load(tables + p0[group]), four);
                b.AddFilters(TLookups.Load(tables + p1[group]), four);
                c.AddFilters(TLookups.Load(tables + p2[group]), four);
                d.AddFilters(TLookups.Load(tables + p3[group]), four);
            }
            if (!segment.FlushAfter) continue;
            a.Flush(add, sums, Lanes);
            b.Flush(add, sums + 4 * Lanes, Lanes);
            c.Flush(add, sums + 8 * Lanes, Lanes);
            d.Flush(add, sums + 12 * Lanes, Lanes);
            add = true;
        }
    }

    /// <summary>Eight pixels × two vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void EightByTwo(in LookupTile tile, ushort** pixels, short* sums)
    {
        ushort* p0 = pixels[0], p1 = pixels[1], p2 = pixels[2], p3 = pixels[3], p4 = pixels[4], p5 = pixels[5], p6 = pixels[6], p7 = pixels[7];
        byte* filters = tile.Filters, tables = tile.Tables;
        FourVectors<TLookups, TVector> a = FourVectors<TLookups, TVector>.Zero, b = a, c = a, d = a;
        var add = false;
        foreach (ref readonly var segment in tile.Segments)
        {
            var group = segment.Row * tile.RowStep + segment.First;
            for (var end = group + segment.Count; group < end; group++, filters += 2 * Lanes)
            {
                TVector first = TLookups.Load(filters), second = TLookups.Load(filters + Lanes);
                var four = FourVectors<TLookups, TVector>.Load(tables, p0[group], p1[group], p2[group], p3[group]);
                a.AddPixels(four, first);
                b.AddPixels(four, second);
                four = FourVectors<TLookups, TVector>.Load(tables, p4[group], p5[group], p6[group], p7[group]);
                c.AddPixels(four, first);
                d.AddPixels(four, second);
            }
            if (!segment.FlushAfter) continue;
            a.Flush(add, sums, 2 * Lanes);
            b.Flush(add, sums + Lanes, 2 * Lanes);
            c.Flush(add, sums + 8 * Lanes, 2 * Lanes);
            d.Flush(add, sums + 9 * Lanes, 2 * Lanes);
            add = true;
        }
    }

    /// <summary>Four pixels × two vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FourByTwo(in LookupTile tile, ushort** pixels, short* sums)
    {
        ushort* p0 = pixels[0], p1 = pixels[1], p2 = pixels[2], p3 = pixels[3];
        byte* filters = tile.Filters, tables = tile.Tables;
        FourVectors<TLookups, TVector> a = FourVectors<TLookups, TVector>.Zero, b = a;
        var add = false;
        foreach (ref readonly var segment in tile.Segments)
        {
            var group = segment.Row * tile.RowStep + segment.First;
            for (var end = group + segment.Count - 3; group < end; group += 4, filters += 8 * Lanes)
            {
                var four = FourVectors<TLookups, TVector>.Load(tables, p0[group], p1[group], p2[group], p3[group]);
                a.AddPixels(four, TLookups.Load(filters));
                b.AddPixels(four, TLookups.Load(filters + Lanes));
                four = FourVectors<TLookups, TVector>.Load(tables, p0[group + 1], p1[group + 1], p2[group + 1], p3[group + 1]);
                a.AddPixels(four, TLookups.Load(filters + 2 * Lanes));
                b.AddPixels(four, TLookups.Load(filters + 3 * Lanes));
                four = FourVectors<TLookups, TVector>.Load(tables, p0[group + 2], p1[group + 2], p2[group + 2], p3[group + 2]);
                a.AddPixels(four, TLookups.Load(filters + 4 * Lanes));
                b.AddPixels(four, TLookups.Load(filters + 5 * Lanes));
                four = FourVectors<TLookups, TVector>.Load(tables, p0[group + 3], p1[group + 3], p2[group + 3], p3[group + 3]);
                a.AddPixels(four, TLookups.Load(filters + 6 * Lanes));
                b.AddPixels(four, TLookups.Load(filters + 7 * Lanes));
            }
            for (var end = segment.Row * tile.RowStep + segment.First + segment.Count; group < end; group++, filters += 2 * Lanes)
            {
                var four = FourVectors<TLookups, TVector>.Load(tables, p0[group], p1[group], p2[group], p3[group]);
                a.AddPixels(four, TLookups.Load(filters));
                b.AddPixels(four, TLookups.Load(filters + Lanes));
            }
            if (!segment.FlushAfter) continue;
            a.Flush(add, sums, 2 * Lanes);
            b.Flush(add, sums + Lanes, 2 * Lanes);
            add = true;
        }
    }

    /// <summary>Eight pixels × one vector.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void EightByOne(in LookupTile tile, ushort** pixels, short* sums)
    {
        ushort* p0 = pixels[0], p1 = pixels[1], p2 = pixels[2], p3 = pixels[3], p4 = pixels[4], p5 = pixels[5], p6 = pixels[6], p7 = pixels[7];
        byte* filters = tile.Filters, tables = tile.Tables;
        FourVectors<TLookups, TVector> a = FourVectors<TLookups, TVector>.Zero, b = a;
        var add = false;
        foreach (ref readonly var segment in tile.Segments)
        {
            var group = segment.Row * tile.RowStep + segment.First;
            for (var end = group + segment.Count; group < end; group++, filters += 1 * Lanes)
            {
                var one = TLookups.Load(filters);
                a.AddPixels(FourVectors<TLookups, TVector>.Load(tables, p0[group], p1[group], p2[group], p3[group]), one);
                b.AddPixels(FourVectors<TLookups, TVector>.Load(tables, p4[group], p5[group], p6[group], p7[group]), one);
            }
            if (!segment.FlushAfter) continue;
            a.Flush(add, sums, Lanes);
            b.Flush(add, sums + 4 * Lanes, Lanes);
            add = true;
        }
    }
}

/// <summary>Inputs of a tile.</summary>
/// <param name="segments">The groups of a filter, in memory order.</param>
/// <param name="rowStep">Groups from one row of the map to the next.</param>
/// <param name="filters">Groups of the filters, one byte each: groups × vectors × lanes.</param>
/// <param name="tables"><see cref="DotProductTables"/>.</param>
internal readonly unsafe ref struct LookupTile(ReadOnlySpan<LookupSegment> segments, nint rowStep, byte* filters, byte* tables)
{
    public readonly ReadOnlySpan<LookupSegment> Segments = segments;
    public readonly nint RowStep = rowStep;
    public readonly byte* Filters = filters;
    public readonly byte* Tables = tables;
}

/// <summary>A run of groups in one filter row, summed in bytes.</summary>
/// <param name="Row">Filter row.</param>
/// <param name="First">First group in the row.</param>
/// <param name="Count">Number of groups.</param>
/// <param name="FlushAfter">Whether to move the byte sums to 16 bits afterwards: there is no room for the next segment, or none follows.</param>
internal readonly record struct LookupSegment(int Row, int First, int Count, bool FlushAfter)
{
    /// <summary>Splits a filter's groups so that bytes hold their sums: long rows into even parts, short rows several to a flush.</summary>
    public static LookupSegment[] Split(int rows, int groups, int most)
    {
        int parts = (groups + most - 1) / most, rowsAtOnce = Math.Max(1, most / groups);
        var segments = new List<LookupSegment>();
        for (var row = 0; row < rows; row++)
            for (int part = 0, first = 0; part < parts; part++)
            {
                var count = (groups - first) / (parts - part);
                segments.Add(new LookupSegment(row, first, count, parts > 1 || (row + 1) % rowsAtOnce == 0 || row + 1 == rows));
                first += count;
            }
        return [.. segments];
    }
}
