using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Rooflines;

/// <summary>Loads and additions: eight chains, since an addition takes some cycles until the next can use its sum.</summary>
internal static unsafe class ReadLoop<TFloats, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc cref="Roofline.Read"/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Sum(float* source, long count)
    {
        TVector a = TFloats.Broadcast(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
        var lanes = TFloats.Lanes;
        for (var end = source + count; source < end; source += 8 * lanes)
        {
            a = TFloats.Add(a, TFloats.Load(source));
            b = TFloats.Add(b, TFloats.Load(source + lanes));
            c = TFloats.Add(c, TFloats.Load(source + 2 * lanes));
            d = TFloats.Add(d, TFloats.Load(source + 3 * lanes));
            e = TFloats.Add(e, TFloats.Load(source + 4 * lanes));
            f = TFloats.Add(f, TFloats.Load(source + 5 * lanes));
            g = TFloats.Add(g, TFloats.Load(source + 6 * lanes));
            h = TFloats.Add(h, TFloats.Load(source + 7 * lanes));
        }
        var sum = TFloats.Add(TFloats.Add(TFloats.Add(a, b), TFloats.Add(c, d)), TFloats.Add(TFloats.Add(e, f), TFloats.Add(g, h)));
        var values = stackalloc float[lanes];
        TFloats.Store(sum, values);
        var total = 0f;
        for (var lane = 0; lane < lanes; lane++) total += values[lane];
        return total;
    }
}
