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
    /// <summary>As many as hide the latency of a lookup and an addition on every port; all of them, the table and a temporary fit the registers.</summary>
    private static int Chains => TLookups.Registers == 32 ? 24 : 12;

    /// <inheritdoc/>
    public override string Operations => $"{TLookups.Lanes} lookups of {TLookups.IndexBits} signs, one addition of bytes";

    /// <inheritdoc/>
    /// <remarks>Each lookup's index is the sum before it: nothing can be taken out of the loop.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override long Compute(int rounds, out ulong result)
    {
        var bytes = stackalloc byte[2 * TLookups.Lanes];
        var aligned = (byte*)(((nuint)bytes + (nuint)TLookups.Lanes - 1) & ~((nuint)TLookups.Lanes - 1));
        for (var lane = 0; lane < TLookups.Lanes; lane++) aligned[lane] = (byte)(5 * lane + 3 & 7);
        var table = TLookups.Load(aligned);
        TVector a = table, b = table, c = table, d = table, e = table, f = table, g = table, h = table, i = table, j = table, k = table, l = table;
        TVector m = table, n = table, o = table, p = table, q = table, r = table, s = table, t = table, u = table, v = table, w = table, x = table;
        for (var round = 0; round < rounds; round++)
        {
            a = Step(table, a); b = Step(table, b); c = Step(table, c); d = Step(table, d);
            e = Step(table, e); f = Step(table, f); g = Step(table, g); h = Step(table, h);
            i = Step(table, i); j = Step(table, j); k = Step(table, k); l = Step(table, l);
            if (TLookups.Registers < 32) continue;
            m = Step(table, m); n = Step(table, n); o = Step(table, o); p = Step(table, p);
            q = Step(table, q); r = Step(table, r); s = Step(table, s); t = Step(table, t);
            u = Step(table, u); v = Step(table, v); w = Step(table, w); x = Step(table, x);
        }
        var sum = Sum(Sum(a, b, c, d), Sum(e, f, g, h), Sum(i, j, k, l), Sum(Sum(m, n, o, p), Sum(q, r, s, t), Sum(u, v, w, x), table));
        result = *(ulong*)&sum;
        return (long)rounds * Chains * TLookups.Lanes * TLookups.IndexBits;
    }

    /// <inheritdoc/>
    public override float Read(float* source, long count) => ReadLoop<TFloats, TFloatVector>.Sum(source, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Step(TVector table, TVector sum) => TLookups.Add(TLookups.Lookup(table, sum), table);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Sum(TVector a, TVector b, TVector c, TVector d) => TLookups.Add(TLookups.Add(a, b), TLookups.Add(c, d));
}
