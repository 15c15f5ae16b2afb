namespace NormFree.Kernels.Optimisers;

/// <summary>The limits of adaptive gradient clipping, which keep units with tiny norms trainable. The values are those of timm's <c>adaptive_clip_grad</c>, as in the published code.</summary>
public static class AgcLimits
{
    /// <summary>Lower bound of a unit's parameter norm ‖p‖ in the clipping threshold max(‖p‖, bound)·λ.</summary>
    public const double MinParameterNorm = 1e-3;

    /// <summary>Lower bound of a unit's gradient norm ‖g‖ in the divisor max(‖g‖, bound).</summary>
    public const double MinGradientNorm = 1e-6;
}
