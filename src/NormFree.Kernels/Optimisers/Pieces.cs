namespace NormFree.Kernels.Optimisers;

/// <summary>Work on many tensors, cut into pieces of about the same size: one list for one parallel region.</summary>
/// <param name="tensors">Tensors.</param>
/// <param name="rows">Of a tensor: what is not cut.</param>
/// <param name="rowSize">Floats of a tensor's row.</param>
internal sealed class Pieces(int tensors, Func<int, long> rows, Func<int, long> rowSize)
{
    /// <summary>Floats of a piece: much beside what it costs to start one, little beside a second-level cache.</summary>
    private const long Size = 16384;

    private readonly List<(int Tensor, long First, long End)> list = Cut(tensors, rows, rowSize);

    /// <summary>How many.</summary>
    public int Count => list.Count;

    /// <summary>A piece: the tensor, its first row, and the row behind its last one.</summary>
    public (int Tensor, long First, long End) this[int index] => list[index];

    private static List<(int Tensor, long First, long End)> Cut(int tensors, Func<int, long> rows, Func<int, long> rowSize)
    {
        var list = new List<(int Tensor, long First, long End)>();
        for (var tensor = 0; tensor < tensors; tensor++)
        {
            var (count, step) = (rows(tensor), Math.Max(1, Size / Math.Max(1, rowSize(tensor))));
            for (long first = 0; first < count; first += step) list.Add((tensor, first, Math.Min(count, first + step)));
        }
        return list;
    }
}
