using NormFree.Torch.Profiling;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Puts fused layers into libtorch's autograd graph.</summary>
internal sealed class FusedFunction : autograd.SingleTensorFunction<FusedFunction>
{
    private const string StateName = "state";

    /// <inheritdoc/>
    public override string Name => nameof(FusedFunction);

    /// <summary>Runs a layer; its state lives until its backward pass has run, or is not made at all where no gradients are asked for.</summary>
    public static Tensor Run(IFusedCall call)
    {
        if (!is_grad_enabled() || !call.Inputs.Any(input => input.requires_grad))
        {
            using (call) return call.Forward(keep: false);
        }
        // TorchSharp keeps an empty copy of the output until the graph goes; in a scope of its own it can be told that nobody else holds it.
        using var scope = NewDisposeScope();
        try
        {
            return apply([call, .. call.Inputs]).MoveToOuterDisposeScope();
        }
        catch
        {
            call.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override Tensor forward(autograd.AutogradContext context, params object[] arguments)
    {
        var call = (IFusedCall)arguments[0];
        context.set_materialize_grads(false);
        var result = call.Forward(keep: true);
        context.save_data(StateName, new FusedState(call, result));
        return result;
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(autograd.AutogradContext context, Tensor gradient)
    {
        var state = (FusedState)context.get_data(StateName);
        var call = state.Call;
        try
        {
            FusedBackward.Tell(call);
            using (LayerClock.Measure(call.Key, Phase.Backward))
            using (state)
            {
                if (is_grad_enabled())
                    throw new NotSupportedException("fused layers have no second derivative; the composite engine has");
                return FusedBackward.HandOver([null!, .. call.Backward(gradient)]);
            }
        }
        catch (Exception failure)
        {
            FusedBackward.Remember(call.Key, failure);
            return [.. Enumerable.Repeat<Tensor>(null!, call.Inputs.Count + 1)];
        }
    }
}

/// <summary>One run of a fused layer: its inputs, its forward pass, and the state that its backward pass needs.</summary>
internal interface IFusedCall : IDisposable
{
    /// <summary>The layer's name in profiles and messages.</summary>
    string Key { get; }

    /// <summary>The tensors that gradients are computed for.</summary>
    IReadOnlyList<Tensor> Inputs { get; }

    /// <summary>Computes the output.</summary>
    /// <param name="keep">Keeps what <see cref="Backward"/> needs.</param>
    Tensor Forward(bool keep);

    /// <summary>The gradient of every input, in the order of <see cref="Inputs"/>; frees the state.</summary>
    IReadOnlyList<Tensor> Backward(Tensor gradient);
}

/// <summary>
/// What a layer keeps from its forward to its backward pass. TorchSharp holds it by managed references alone: where no backward pass comes, a
/// collection frees it, so the collector is told how much native memory hangs on it.
/// </summary>
internal sealed class FusedState : IDisposable
{
    private long bytes;

    /// <summary>Holds a call that has run forward.</summary>
    public FusedState(IFusedCall call, Tensor result)
    {
        Call = call;
        // The input, the sum before the activation, and the packed signs.
        bytes = sizeof(float) * (call.Inputs[0].numel() + result.numel());
        GC.AddMemoryPressure(bytes);
    }

    /// <summary>Runs where no backward pass came; the call's own parts free themselves.</summary>
    ~FusedState() => Relieve();

    /// <summary>The call.</summary>
    public IFusedCall Call { get; }

    /// <summary>Frees the call's state.</summary>
    public void Dispose()
    {
        Call.Dispose();
        Relieve();
        GC.SuppressFinalize(this);
    }

    private void Relieve()
    {
        if (Interlocked.Exchange(ref bytes, 0) is > 0 and var held) GC.RemoveMemoryPressure(held);
    }
}
