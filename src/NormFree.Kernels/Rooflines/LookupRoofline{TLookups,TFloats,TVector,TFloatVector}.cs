using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Rooflines;

/// <summary>A lookup gives the products of a group of signs for each lane, an addition of bytes adds them up.</summary>
internal sealed unsafe class LookupRoofline<TLookups, TFloats, TVector, TFloatVector> : Roofline
    where TLookups : struct, ILookupVectors<TVector>
    where TFloats : struct, IFloatVectors<TFloatVector>
    where TVector : unmanaged
    where TFloatVector : unmanaged
{
    /// <summary>As many as hide the latency of a lookup and an addition on every port, and fit the registers of AVX2.</summary>
    private const int Chains = 12;

    /// <inheritdoc/>
    public override string Operations => $"{TLookups.Lanes} lookups of {TLookups.IndexBits} signs, one addition of bytes";

    /// <inheritdoc/>
    /// <remarks>Each lookup's index is the sum before it: nothing can be taken out of the loop.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override long Compute(int rounds, out ulong result)
    {
        var bytes = stackalloc byte[2 * TLookups.Lanes];
        var aligned = (byte*)(((nuint)bytes + (nuint)TLookups.Lanes - 1) & ~((nuint)TLookups.Lanes - 1));
        for (var i = 0; i < TLookups.Lanes; i++) aligned[i] = (byte)(i & 3);
        var table = TLookups.Load(aligned);
        TVector a = table, b = a, c = a, d = a, e = a, f = a, g = a, h = a, m = a, j = a, k = a, l = a;
        for (var round = 0; round < rounds; round++)
        {
            a = Step(table, a);
            b = Step(table, b);
            c = Step(table, c);
            d = Step(table, d);
            e = Step(table, e);
            f = Step(table, f);
            g = Step(table, g);
            h = Step(table, h);
            m = Step(table, m);
            j = Step(table, j);
            k = Step(table, k);
            l = Step(table, l);
        }
        var sum = Sum(Sum(Sum(a, b), Sum(c, d)), Sum(Sum(e, f), Sum(g, h)));
        sum = Sum(sum, Sum(Sum(m, j), Sum(k, l)));
        result = *(ulong*)&sum;
        return (long)rounds * Chains * TLookups.Lanes * TLookups.IndexBits;
    }

    /// <inheritdoc/>
    public override float Read(float* source, long count) => ReadLoop<TFloats, TFloatVector>.Sum(source, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Step(TVector table, TVector sum) => TLookups.Add(TLookups.Lookup(table, sum), table);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Sum(TVector a, TVector b) => TLookups.Add(a, b);
}
