using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NormFree.Kernels.Filters;

/// <summary>A comparison's result as bits of a word.</summary>
internal static class LaneMask
{
    /// <summary>Bit i is the highest bit of lane i; the bits above the lanes are 0.</summary>
    /// <typeparam name="TVector">One float, or a vector of them.</typeparam>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Of<TVector>(TVector mask) where TVector : unmanaged
    {
        if (typeof(TVector) == typeof(Vector512<float>)) return Unsafe.As<TVector, Vector512<float>>(ref mask).ExtractMostSignificantBits();
        if (typeof(TVector) == typeof(Vector256<float>)) return Unsafe.As<TVector, Vector256<float>>(ref mask).ExtractMostSignificantBits();
        if (typeof(TVector) == typeof(Vector128<float>)) return Unsafe.As<TVector, Vector128<float>>(ref mask).ExtractMostSignificantBits();
        return Unsafe.As<TVector, uint>(ref mask) >> 31;
    }
}
