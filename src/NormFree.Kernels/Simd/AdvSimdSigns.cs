using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NormFree.Kernels.Simd;

/// <summary>Signs of <see cref="AdvSimdFloats"/>.</summary>
public readonly struct AdvSimdSigns : ISignVectors<Vector128<float>>
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong AtLeast(Vector128<float> a, Vector128<float> b) =>
        Vector128.GreaterThanOrEqual(a, b).ExtractMostSignificantBits();
}
