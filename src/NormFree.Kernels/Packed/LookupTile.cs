namespace NormFree.Kernels.Packed;

/// <summary>What a tile of pixels × vectors of filters reads.</summary>
/// <param name="pieces">A filter's groups in the order of its bytes.</param>
/// <param name="rowStep">From one row of the map to the next, in groups.</param>
/// <param name="filters">The filters' groups, one byte each: groups × vectors × lanes.</param>
/// <param name="tables"><see cref="DotTables"/>.</param>
internal readonly unsafe ref struct LookupTile(ReadOnlySpan<LookupPiece> pieces, nint rowStep, byte* filters, byte* tables)
{
    public readonly ReadOnlySpan<LookupPiece> Pieces = pieces;
    public readonly nint RowStep = rowStep;
    public readonly byte* Filters = filters;
    public readonly byte* Tables = tables;
}
