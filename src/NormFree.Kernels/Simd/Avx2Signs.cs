using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NormFree.Kernels.Simd;

/// <summary>Signs of <see cref="Avx2Floats"/>.</summary>
public readonly struct Avx2Signs : ISignVectors<Vector256<float>>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong AtLeast(Vector256<float> a, Vector256<float> b) =>
        Vector256.GreaterThanOrEqual(a, b).ExtractMostSignificantBits();
}
