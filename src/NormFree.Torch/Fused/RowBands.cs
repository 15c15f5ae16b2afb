namespace NormFree.Torch.Fused;

/// <summary>The rows of a batch's maps, shared out in bands: each image has its own, the last of which may be lower.</summary>
internal readonly struct RowBands(int images, int height, int rowsOfBand)
{
    private readonly int rowsOfBand = Math.Min(rowsOfBand, height);

    private int OfImage => (height + rowsOfBand - 1) / rowsOfBand;

    /// <summary>How many bands there are.</summary>
    public int Count => images * OfImage;

    /// <summary>A band's image, first row and number of rows.</summary>
    public (int Image, int Row, int Rows) this[int band]
    {
        get
        {
            var row = band % OfImage * rowsOfBand;
            return (band / OfImage, row, Math.Min(rowsOfBand, height - row));
        }
    }
}
