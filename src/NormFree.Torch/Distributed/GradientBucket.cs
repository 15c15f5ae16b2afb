using NormFree.Distributed;
using NormFree.Torch.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace NormFree.Torch.Distributed;

/// <summary>Gradients of some parameters side by side, so that they travel as one message.</summary>
internal sealed class GradientBucket : IDisposable
{
    private readonly Tensor mine;
    private readonly Tensor sums;
    private readonly List<(Tensor Parameter, Tensor Mine, Tensor Sum)> views = [];
    private IPendingSum? pending;

    /// <summary>Room for the gradients of these parameters, all of one type and on the CPU.</summary>
    /// <param name="parameters">The parameters.</param>
    /// <param name="lowestPart">The first part of the network that one of them belongs to.</param>
    public GradientBucket(IReadOnlyList<Tensor> parameters, int lowestPart)
    {
        LowestPart = lowestPart;
        var (type, count) = (parameters[0].dtype, parameters.Sum(parameter => parameter.numel()));
        mine = zeros(count, type).DetachFromDisposeScope();
        sums = zeros(count, type).DetachFromDisposeScope();
        var place = 0L;
        foreach (var parameter in parameters)
        {
            views.Add((parameter, View(mine, parameter, place), View(sums, parameter, place)));
            place += parameter.numel();
        }
    }

    /// <summary>The first part of the network that has a parameter in here.</summary>
    public int LowestPart { get; }

    /// <summary>Size of the message.</summary>
    public long Bytes => mine.numel() * mine.element_size();

    /// <summary>When it was under way; it must have been waited for.</summary>
    public (long Begin, long End) Span => pending!.Span;

    /// <summary>Sets all gradients to 0, in here: the backward pass adds to them.</summary>
    public void Prepare()
    {
        pending = null;
        mine.zero_();
        foreach (var (parameter, view, _) in views) parameter.grad = view;
    }

    /// <summary>Begins to add up the gradients over all ranks, unless that is under way.</summary>
    public unsafe void Start(IRanks ranks)
    {
        var type = mine.dtype == ScalarType.Float64 ? NumberType.Float64 : NumberType.Float32;
        pending ??= ranks.BeginSum(Address(mine), Address(sums), checked((int)mine.numel()), type);
    }

    /// <summary>Waits for the sums, and makes them the gradients.</summary>
    public void Finish()
    {
        pending!.Wait();
        foreach (var (parameter, _, view) in views) parameter.grad = view;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var (parameter, view, sum) in views)
        {
            if (!parameter.IsInvalid) parameter.grad = null;
            view.Dispose();
            sum.Dispose();
        }
        mine.Dispose();
        sums.Dispose();
    }

    private static Tensor View(Tensor flat, Tensor parameter, long place)
    {
        using var scope = NewDisposeScope();
        return flat.narrow(0, place, parameter.numel()).view(parameter.shape).DetachFromDisposeScope();
    }

    private static unsafe nint Address(Tensor flat) => (nint)TensorMemory.Data(flat, flat.dtype);
}
