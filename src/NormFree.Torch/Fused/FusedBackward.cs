using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>What a backward pass through fused layers leaves to do: call <see cref="Begin"/> before <c>Tensor.backward</c>, <see cref="End"/> after it.</summary>
/// <remarks>Per thread: libtorch runs the backward pass of tensors on the CPU on the thread that asks for it.</remarks>
public static class FusedBackward
{
    [ThreadStatic] private static InvalidOperationException? failure;
    [ThreadStatic] private static List<Tensor>? handedOver;
    [ThreadStatic] private static Action<IReadOnlyList<Tensor>>? watch;

    /// <summary>Forgets what an earlier pass has left.</summary>
    /// <param name="watcher">
    /// Told the inputs of every layer when its backward pass begins. libtorch runs passes in the reverse order of the forward ones, and adds what one
    /// gives to the parameters' gradients before it begins the next: so everything that was used behind this layer has its gradient by then.
    /// </param>
    public static void Begin(Action<IReadOnlyList<Tensor>>? watcher = null)
    {
        failure = null;
        watch = watcher;
        Release();
    }

    /// <summary>Frees what the last layer handed over, and throws what a layer has met: an exception that leaves a backward pass ends the process.</summary>
    /// <exception cref="InvalidOperationException">A layer's backward pass has failed, so that gradients are missing; the inner exception says why.</exception>
    public static void End()
    {
        Release();
        watch = null;
        if (Interlocked.Exchange(ref failure, null) is { } met) throw met;
    }

    /// <summary>Tells whoever watches that a layer's pass begins.</summary>
    internal static void Tell(IFusedCall call) => watch?.Invoke(call.Inputs);

    /// <summary>Keeps the first failure of a pass.</summary>
    internal static void Remember(string key, Exception met) =>
        failure ??= new InvalidOperationException($"The backward pass of {key} has failed: {met.Message}", met);

    /// <summary>
    /// Gradients on their way to libtorch. It takes its own references when the layer's pass returns, so ours go when the next layer's pass ends: not
    /// earlier, lest a collection free them under way, and not later, lest all layers' gradients stay until the step's end.
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
