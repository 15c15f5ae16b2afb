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
