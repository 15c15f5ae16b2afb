using System.Numerics;
using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Rooflines;

/// <summary>XNOR, a word's count of bits, and an addition.</summary>
internal sealed unsafe class ScalarRoofline : Roofline
{
    private const int Chains = 6;

    /// <inheritdoc/>
    public override string Operations => "XNOR, count and addition of 64 signs";

    /// <inheritdoc/>
    /// <remarks>Each word is the sum before it: nothing can be taken out of the loop.</remarks>
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
