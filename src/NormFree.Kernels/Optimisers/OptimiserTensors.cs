namespace NormFree.Kernels.Optimisers;

/// <summary>A parameter of an optimiser step: addresses of <paramref name="Count"/> floats each.</summary>
/// <param name="Parameter">p, updated.</param>
/// <param name="Gradient">g, read-only.</param>
/// <param name="Mean">Adam's first moment m, or SGD's momentum buffer b; updated.</param>
/// <param name="Square">Adam's second moment v, updated; null for SGD.</param>
/// <param name="Count">Number of values.</param>
/// <param name="WeightDecay">0 for none.</param>
/// <param name="LearningRateFactor">Factor of the learning rate.</param>
public readonly record struct OptimisedTensor(
    nint Parameter, nint Gradient, nint Mean, nint Square, long Count, double WeightDecay, double LearningRateFactor = 1);

/// <summary>A parameter whose gradient is clipped unit by unit.</summary>
/// <param name="Parameter">Address of p: <paramref name="Units"/>×<paramref name="UnitSize"/> floats, read-only.</param>
/// <param name="Gradient">Address of g, of the same size; updated.</param>
/// <param name="Units">Size of the first axis (filters); 1 for vectors.</param>
/// <param name="UnitSize">Values per unit.</param>
public readonly record struct ClippedTensor(nint Parameter, nint Gradient, int Units, int UnitSize);

/// <summary>A read-only tensor.</summary>
/// <param name="Values">Address of the floats.</param>
/// <param name="Count">Number of values.</param>
public readonly record struct FloatTensor(nint Values, long Count);

/// <summary>Splits tensors into chunks of about equal size, for one parallel region.</summary>
/// <param name="tensors">Number of tensors.</param>
/// <param name="rows">Number of rows of a tensor; a row is not split.</param>
/// <param name="rowSize">Floats per row of a tensor.</param>
internal sealed class TensorChunks(int tensors, Func<int, long> rows, Func<int, long> rowSize)
{
    /// <summary>Floats per chunk: much work compared with starting a task, and small compared with a second-level cache.</summary>
    private const long Size = 16384;

    private readonly List<(int Tensor, long First, long End)> list = Split(tensors, rows, rowSize);

    /// <summary>Number of chunks.</summary>
    public int Count => list.Count;

    /// <summary>A chunk: index of the tensor, first row, and one past the last row.</summary>
    public (int Tensor, long First, long End) this[int index] => list[index];

    private static List<(int Tensor, long First, long End)> Split(int tensors, Func<int, long> rows, Func<int, long> rowSize)
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
