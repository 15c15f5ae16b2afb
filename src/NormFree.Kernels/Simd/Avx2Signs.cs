using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NormFree.Kernels.Simd;

/// <summary>Signs of <see cref="Avx2Floats"/>.</summary>
public readonly struct Avx2Signs : ISignVectors<Vector256<float>>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong AtLeastZero(Vector256<float> a) =>
        Vector256.GreaterThanOrEqual(a, Vector256<float>.Zero).ExtractMostSignificantBits();
}
