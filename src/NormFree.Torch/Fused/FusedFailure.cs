namespace NormFree.Torch.Fused;

/// <summary>
/// What went wrong in a fused layer's backward pass. An exception that leaves a backward pass ends the process, so it waits here until
/// <c>Tensor.backward</c> has returned: call <see cref="Throw"/> after it, before the gradients are used.
/// </summary>
public static class FusedFailure
{
    [ThreadStatic] private static InvalidOperationException? remembered;

    /// <summary>Throws what the calling thread's last backward pass met, if anything.</summary>
    /// <exception cref="InvalidOperationException">A layer's backward pass has failed; the inner exception says why.</exception>
    public static void Throw()
    {
        if (Interlocked.Exchange(ref remembered, null) is { } failure) throw failure;
    }

    /// <summary>Keeps the first failure of a pass.</summary>
    internal static void Remember(string key, Exception failure) =>
        remembered ??= new InvalidOperationException($"The backward pass of {key} has failed: {failure.Message}", failure);
}
