namespace NormFree.Kernels.Packed;

/// <summary>What a tile of pixels × vectors of filters reads.</summary>
/// <param name="rows">Rows of a filter.</param>
/// <param name="groups">Groups of signs in a row of a filter: those of its pixels, which lie side by side.</param>
/// <param name="rowStep">From one row of the map to the next, in groups.</param>
/// <param name="firstRow">The first of the rows.</param>
/// <param name="filters">The filters' groups from that row on.</param>
/// <param name="tables"><see cref="DotTables"/>.</param>
internal readonly unsafe struct LookupTile(int rows, int groups, nint rowStep, int firstRow, byte* filters, byte* tables)
{
    public readonly int Rows = rows;
    public readonly int Groups = groups;
    public readonly nint RowStep = rowStep;

    /// <summary>Where the first row begins, from a pixel's window on, in groups.</summary>
    public readonly nint Start = firstRow * rowStep;

    public readonly byte* Filters = filters;
    public readonly byte* Tables = tables;
}
