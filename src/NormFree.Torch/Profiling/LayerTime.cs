namespace NormFree.Torch.Profiling;

/// <summary>Wall time of one layer, in milliseconds; null where nothing was measured.</summary>
/// <param name="Layer">The layer's name.</param>
/// <param name="Forward">Sum of its forward passes.</param>
/// <param name="Backward">Sum of its backward passes.</param>
public sealed record LayerTime(string Layer, double? Forward, double? Backward)
{
    /// <summary>With more time in one phase.</summary>
    internal LayerTime Plus(Phase phase, double milliseconds) => phase == Phase.Forward
        ? this with { Forward = (Forward ?? 0) + milliseconds }
        : this with { Backward = (Backward ?? 0) + milliseconds };
}
