using NormFree.Distributed;
using NormFree.Torch.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace NormFree.Torch.Distributed;

/// <summary>The gradients of several parameters in one flat buffer, sent as one message.</summary>
internal sealed class GradientBucket : IDisposable
{
    private readonly Tensor local;
    private readonly Tensor sums;
    private readonly List<(Tensor Parameter, Tensor Local, Tensor Sum)> views = [];
    private IPendingSum? pending;

    /// <summary>Allocates buffers for the gradients of parameters of one type on the CPU.</summary>
    /// <param name="parameters">The parameters.</param>
    /// <param name="lowestPart">The lowest index of a network part that owns one of the parameters.</param>
    public GradientBucket(IReadOnlyList<Tensor> parameters, int lowestPart)
    {
        LowestPart = lowestPart;
        var (type, count) = (parameters[0].dtype, parameters.Sum(parameter => parameter.numel()));
        local = zeros(count, type).DetachFromDisposeScope();
        sums = zeros(count, type).DetachFromDisposeScope();
        var offset = 0L;
        foreach (var parameter in parameters)
        {
            views.Add((parameter, View(local, parameter, offset), View(sums, parameter, offset)));
            offset += parameter.numel();
        }
    }

    /// <summary>The lowest index of a network part that owns a parameter of this bucket.</summary>
    public int LowestPart { get; }

    /// <summary>Size of the message.</summary>
    public long Bytes => local.numel() * local.element_size();

    /// <summary>When the sum started and ended; valid after <see cref="Finish"/>.</summary>
    public (long Start, long End) Timestamps => pending!.Timestamps;

    /// <summary>Sets all gradients to zeros in this buffer, so that the backward pass accumulates into it.</summary>
    public void ZeroGradients()
    {
        pending = null;
        local.zero_();
        foreach (var (parameter, view, _) in views) parameter.grad = view;
    }

    /// <summary>Starts the sum over all ranks, unless it has started.</summary>
    public unsafe void Start(IRanks ranks)
    {
        var type = local.dtype == ScalarType.Float64 ? NumberType.Float64 : NumberType.Float32;
        pending ??= ranks.BeginSum(Address(local), Address(sums), checked((int)local.numel()), type);
    }

    /// <summary>Waits for the sums and makes them the gradients.</summary>
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
        local.Dispose();
        sums.Dispose();
    }

    private static Tensor View(Tensor flat, Tensor parameter, long offset)
    {
        using var scope = NewDisposeScope();
        return flat.narrow(0, offset, parameter.numel()).view(parameter.shape).DetachFromDisposeScope();
    }

    private static unsafe nint Address(Tensor flat) => (nint)TensorMemory.Data(flat, flat.dtype);
}
