using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

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
