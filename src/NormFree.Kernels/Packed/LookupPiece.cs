namespace NormFree.Kernels.Packed;

/// <summary>Groups of a filter that are added up in one go: a part of a row.</summary>
/// <param name="Row">The row.</param>
/// <param name="First">The first group in it.</param>
/// <param name="Count">How many.</param>
/// <param name="Full">Whether the bytes that hold their sums have no room for the next piece, or there is none.</param>
internal readonly record struct LookupPiece(int Row, int First, int Count, bool Full)
{
    /// <summary>Cuts a filter's groups, row by row, so that a byte holds the sum of so many: rows into even parts, or several rows together.</summary>
    public static LookupPiece[] Cut(int rows, int groups, int most)
    {
        int parts = (groups + most - 1) / most, rowsAtOnce = Math.Max(1, most / groups);
        var pieces = new List<LookupPiece>();
        for (var row = 0; row < rows; row++)
            for (int part = 0, first = 0; part < parts; part++)
            {
                var count = (groups - first) / (parts - part);
                pieces.Add(new LookupPiece(row, first, count, parts > 1 || (row + 1) % rowsAtOnce == 0 || row + 1 == rows));
                first += count;
            }
        return [.. pieces];
    }
}
