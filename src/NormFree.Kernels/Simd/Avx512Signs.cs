using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NormFree.Kernels.Simd;

/// <summary>Signs of <see cref="Avx512Floats"/>.</summary>
public readonly struct Avx512Signs : ISignVectors<Vector512<float>>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong AtLeast(Vector512<float> a, Vector512<float> b) =>
        Vector512.GreaterThanOrEqual(a, b).ExtractMostSignificantBits();
}
