namespace NormFree.Kernels.Simd;

/// <summary>The sign of a float.</summary>
public readonly struct ScalarSigns : ISignVectors<float>
{
    /// <inheritdoc/>
    public static ulong AtLeastZero(float a) => a >= 0 ? 1u : 0u;
}
