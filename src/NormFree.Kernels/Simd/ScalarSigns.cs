namespace NormFree.Kernels.Simd;

/// <summary>The sign of a float.</summary>
public readonly struct ScalarSigns : ISignVectors<float>
{
    /// <inheritdoc/>
    public static ulong AtLeast(float a, float b) => a >= b ? 1u : 0u;
}
