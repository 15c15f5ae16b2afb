using NormFree.Torch.Profiling;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The autograd function of all fused layers.</summary>
internal sealed class FusedFunction : autograd.SingleTensorFunction<FusedFunction>
{
    private const string StateName = "state";

    /// <inheritdoc/>
    public override string Name => nameof(FusedFunction);

    /// <summary>Runs a layer. Its state lives until its backward pass has run; without gradients no state is kept.</summary>
    public static Tensor Run(IFusedCall call)
    {
        if (!is_grad_enabled() || !call.Inputs.Any(input => input.requires_grad))
        {
            using (call) return call.Forward(keep: false);
        }
        // TorchSharp keeps an empty copy of the output as long as the graph lives. A scope of its own frees that copy.
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
    /// <remarks>Catches every exception: one that left this method would kill the process. <see cref="FusedBackward.End"/> rethrows it.</remarks>
    public override List<Tensor> backward(autograd.AutogradContext context, Tensor gradient)
    {
        var state = (FusedState)context.get_data(StateName);
        var call = state.Call;
        try
        {
            FusedBackward.OnBackward(call);
            using (LayerClock.Measure(call.Key, Phase.Backward))
            using (state)
            {
                if (is_grad_enabled())
                    throw new NotSupportedException("fused layers have no second derivative; use the composite engine");
                return FusedBackward.HandOver([null!, .. call.Backward(gradient)]);
            }
        }
        catch (Exception failure)
        {
            FusedBackward.SetFailure(call.Key, failure);
            return [.. Enumerable.Repeat<Tensor>(null!, call.Inputs.Count + 1)];
        }
    }
}

/// <summary>One run of a fused layer: its inputs, its forward pass, and the state for its backward pass.</summary>
internal interface IFusedCall : IDisposable
{
    /// <summary>The layer's name in profiles and messages.</summary>
    string Key { get; }

    /// <summary>The tensors whose gradients <see cref="Backward"/> returns.</summary>
    IReadOnlyList<Tensor> Inputs { get; }

    /// <summary>Computes the output.</summary>
    /// <param name="keep">Whether to keep the state for <see cref="Backward"/>.</param>
    Tensor Forward(bool keep);

    /// <summary>The gradient of every input, in the order of <see cref="Inputs"/>; frees the state.</summary>
    IReadOnlyList<Tensor> Backward(Tensor gradient);
}

/// <summary>
/// A layer's state between its forward and its backward pass. TorchSharp references it from managed code only. If no backward pass follows, the garbage
/// collector frees it, so the collector must know how much native memory it holds.
/// </summary>
/// <remarks>
/// <see cref="GC.AddMemoryPressure"/> starts collections, which would take up to a fifth of a core if every step announced its memory anew. So memory that
/// a backward pass frees stays announced, and the next step's states are announced only where they exceed it.
/// </remarks>
internal sealed class FusedState : IDisposable
{
    /// <summary>Bytes that states hold, and bytes that the collector knows of.</summary>
    private static long held, announced;

    private readonly long bytes;
    private readonly bool announces;

    /// <summary>Wraps a call after its forward pass.</summary>
    public FusedState(IFusedCall call, Tensor result)
    {
        Call = call;
        // The input and the sum before the activation; the packed signs are small.
        bytes = sizeof(float) * (call.Inputs[0].numel() + result.numel());
        announces = Interlocked.Add(ref held, bytes) > Interlocked.Read(ref announced);
        if (announces) Announce(bytes);
    }

    /// <summary>Runs if no backward pass came; the call's tensors and buffers have finalisers of their own.</summary>
    ~FusedState()
    {
        Interlocked.Add(ref held, -bytes);
        if (announces) Announce(-bytes);
    }

    /// <summary>The call.</summary>
    public IFusedCall Call { get; }

    /// <summary>Frees the call's state.</summary>
    public void Dispose()
    {
        Call.Dispose();
        Interlocked.Add(ref held, -bytes);
        GC.SuppressFinalize(this);
    }

    private static void Announce(long change)
    {
        Interlocked.Add(ref announced, change);
        if (change > 0) GC.AddMemoryPressure(change);
        else if (change < 0) GC.RemoveMemoryPressure(-change);
    }
}
