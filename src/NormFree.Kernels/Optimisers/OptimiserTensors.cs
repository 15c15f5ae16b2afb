namespace NormFree.Kernels.Optimisers;

/// <summary>A parameter for an optimiser's step: addresses of <paramref name="Count"/> floats each.</summary>
/// <param name="Parameter">p, changed.</param>
/// <param name="Gradient">g, only read.</param>
/// <param name="Mean">Adam's mean of gradients m, or the momentum buffer b; changed.</param>
/// <param name="Square">Adam's mean of squared gradients v, changed; null for gradient descent.</param>
/// <param name="Count">Values.</param>
/// <param name="WeightDecay">0 for none.</param>
/// <param name="LearningRateFactor">Factor of the learning rate.</param>
public readonly record struct OptimisedTensor(
    nint Parameter, nint Gradient, nint Mean, nint Square, long Count, double WeightDecay, double LearningRateFactor = 1);

/// <summary>A parameter whose gradient is to be clipped, unit by unit.</summary>
/// <param name="Parameter">Address of p: <paramref name="Units"/>×<paramref name="UnitSize"/> floats, only read.</param>
/// <param name="Gradient">Address of g, likewise; changed.</param>
/// <param name="Units">Entries of the first axis (filters), or 1 for vectors.</param>
/// <param name="UnitSize">Values of a unit.</param>
public readonly record struct ClippedTensor(nint Parameter, nint Gradient, int Units, int UnitSize);

/// <summary>Values that are only read.</summary>
/// <param name="Values">Address of the floats.</param>
/// <param name="Count">How many.</param>
public readonly record struct FloatTensor(nint Values, long Count);

/// <summary>Work on many tensors, cut into pieces of about the same size: one list for one parallel region.</summary>
/// <param name="tensors">Tensors.</param>
/// <param name="rows">Of a tensor: what is not cut.</param>
/// <param name="rowSize">Floats of a tensor's row.</param>
internal sealed class TensorChunks(int tensors, Func<int, long> rows, Func<int, long> rowSize)
{
    /// <summary>Floats of a piece: much beside what it costs to start one, little beside a second-level cache.</summary>
    private const long Size = 16384;

    private readonly List<(int Tensor, long First, long End)> list = Split(tensors, rows, rowSize);

    /// <summary>How many.</summary>
    public int Count => list.Count;

    /// <summary>A piece: the tensor, its first row, and the row behind its last one.</summary>
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
