using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Rooflines;

/// <summary>XNOR, popcount and addition of words.</summary>
internal sealed unsafe class ScalarRoofline : Roofline
{
    private const int Chains = 6;

    /// <inheritdoc/>
    public override string Operations => "XNOR, popcount and addition of 64 signs";

    /// <inheritdoc/>
    /// <remarks>Each step depends on the sum before it, so the compiler cannot hoist it out of the loop.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override long Compute(int rounds, out ulong result)
    {
        const ulong key = 0x5555_5555_5555_5555;
        ulong a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
        for (var round = 0; round < rounds; round++)
        {
            a += (ulong)BitOperations.PopCount(a ^ key);
            b += (ulong)BitOperations.PopCount(b ^ key);
            c += (ulong)BitOperations.PopCount(c ^ key);
            d += (ulong)BitOperations.PopCount(d ^ key);
            e += (ulong)BitOperations.PopCount(e ^ key);
            f += (ulong)BitOperations.PopCount(f ^ key);
        }
        result = a ^ b ^ c ^ d ^ e ^ f;
        return (long)rounds * Chains * 64;
    }

    /// <inheritdoc/>
    public override float Read(float* source, long count) => ReadLoop<ScalarFloats, float>.Sum(source, count);
}

/// <summary>XNOR, popcount and addition of bytes.</summary>
internal sealed unsafe class AdvSimdRoofline : Roofline
{
    private const int Chains = 8;

    /// <inheritdoc/>
    public override string Operations => "XNOR, popcount and addition of 128 signs";

    /// <inheritdoc/>
    /// <remarks>Each step depends on the sum before it, so the compiler cannot hoist it out of the loop.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override long Compute(int rounds, out ulong result)
    {
        var key = Vector128.Create((byte)0x55);
        Vector128<byte> a = key, b = key, c = key, d = key, e = key, f = key, g = key, h = key;
        for (var round = 0; round < rounds; round++)
        {
            a = Step(a, key);
            b = Step(b, key);
            c = Step(c, key);
            d = Step(d, key);
            e = Step(e, key);
            f = Step(f, key);
            g = Step(g, key);
            h = Step(h, key);
        }
        result = (a + b + (c + d) + (e + f + (g + h))).AsUInt64()[0];
        return (long)rounds * Chains * 128;
    }

    /// <inheritdoc/>
    public override float Read(float* source, long count) => ReadLoop<AdvSimdFloats, Vector128<float>>.Sum(source, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Step(Vector128<byte> sum, Vector128<byte> key) => AdvSimd.PopCount(sum ^ key) + key;
}

/// <summary>XNOR, and one full adder per two words: the arithmetic that remains when words are added in carry-save form.</summary>
internal sealed unsafe class CarrySaveRoofline<TBits, TFloats, TVector, TFloatVector> : Roofline
    where TBits : struct, ICarrySaveVectors<TVector>
    where TFloats : struct, IFloatVectors<TFloatVector>
    where TVector : unmanaged
    where TFloatVector : unmanaged
{
    private const int Chains = 8;

    /// <inheritdoc/>
    public override string Operations => $"{2 * TBits.Lanes} XNORs of 64 signs, {TBits.Lanes} carry-save additions";

    /// <inheritdoc/>
    /// <remarks>Each step depends on the sum before it, so the compiler cannot hoist it out of the loop.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override long Compute(int rounds, out ulong result)
    {
        ulong first = 0x5555_5555_5555_5555, second = 0x3333_3333_3333_3333;
        TVector a = TBits.Zero, b = a, c = a, d = a, e = a, f = a, g = a, h = a;
        for (var round = 0; round < rounds; round++)
        {
            Step(ref a, &first, &second);
            Step(ref b, &first, &second);
            Step(ref c, &first, &second);
            Step(ref d, &first, &second);
            Step(ref e, &first, &second);
            Step(ref f, &first, &second);
            Step(ref g, &first, &second);
            Step(ref h, &first, &second);
        }
        TBits.Add(ref a, b, c);
        TBits.Add(ref a, d, e);
        TBits.Add(ref f, g, h);
        TBits.Add(ref a, f, f);
        result = *(ulong*)&a;
        return (long)rounds * Chains * 2 * TBits.Lanes * 64;
    }

    /// <inheritdoc/>
    public override float Read(float* source, long count) => ReadLoop<TFloats, TFloatVector>.Sum(source, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step(ref TVector sum, ulong* first, ulong* second) =>
        TBits.Add(ref sum, TBits.Xor(sum, first), TBits.Xor(sum, second));
}

/// <summary>A lookup of the dot products of a group of signs, and an addition of bytes.</summary>
internal sealed unsafe class LookupRoofline<TLookups, TFloats, TVector, TFloatVector> : Roofline
    where TLookups : struct, ILookupVectors<TVector>
    where TFloats : struct, IFloatVectors<TFloatVector>
    where TVector : unmanaged
    where TFloatVector : unmanaged
{
    /// <summary>Enough chains to hide the latency of a lookup and an addition on every port; they, the table and a temporary fit the registers.</summary>
    private static int Chains => TLookups.Registers == 32 ? 24 : 12;

    /// <inheritdoc/>
    public override string Operations => $"{TLookups.Lanes} lookups of {TLookups.IndexBits} signs, one addition of bytes";

    /// <inheritdoc/>
    /// <remarks>Each lookup's index is the sum before it, so the compiler cannot hoist it out of the loop.</remarks>
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
