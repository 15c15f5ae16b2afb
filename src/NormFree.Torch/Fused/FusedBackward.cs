using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Brackets a backward pass through fused layers: call <see cref="Begin"/> before <c>Tensor.backward</c> and <see cref="End"/> after it.</summary>
/// <remarks>The state is per thread: libtorch runs the backward pass of CPU tensors on the calling thread.</remarks>
public static class FusedBackward
{
    [ThreadStatic] private static InvalidOperationException? failure;
    [ThreadStatic] private static List<Tensor>? handedOver;
    [ThreadStatic] private static Action<IReadOnlyList<Tensor>>? onLayer;

    /// <summary>Discards the state of an earlier pass.</summary>
    /// <param name="onLayerBackward">
    /// Called with the inputs of each layer when its backward pass starts. libtorch runs backward passes in reverse forward order, and accumulates each
    /// one's gradients before it starts the next. So at the call, all parameters that are used only after this layer have their gradients.
    /// </param>
    public static void Begin(Action<IReadOnlyList<Tensor>>? onLayerBackward = null)
    {
        failure = null;
        onLayer = onLayerBackward;
        Release();
    }

    /// <summary>Frees the last layer's gradients, and throws if a layer failed.</summary>
    /// <exception cref="InvalidOperationException">A layer's backward pass failed, so gradients are missing. The inner exception is the cause.</exception>
    public static void End()
    {
        Release();
        onLayer = null;
        if (Interlocked.Exchange(ref failure, null) is { } error) throw error;
    }

    /// <summary>Invokes the callback for a layer.</summary>
    internal static void OnBackward(IFusedCall call) => onLayer?.Invoke(call.Inputs);

    /// <summary>Records the first failure of a pass.</summary>
    internal static void SetFailure(string key, Exception error) =>
        failure ??= new InvalidOperationException($"The backward pass of {key} failed: {error.Message}", error);

    /// <summary>
    /// Keeps the gradients that a layer returns to libtorch alive until the next layer's pass ends. libtorch takes its own references when the layer's
    /// pass returns. Freeing ours earlier would let a collection free them in between; freeing them later would keep all layers' gradients until the end
    /// of the step.
    /// </summary>
    internal static List<Tensor> HandOver(List<Tensor> gradients)
    {
        Release();
        foreach (var gradient in gradients) gradient?.DetachFromDisposeScope();
        return handedOver = gradients;
    }

    private static void Release()
    {
        foreach (var gradient in handedOver ?? []) gradient?.Dispose();
        handedOver = null;
    }
}
