using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Rooflines;

/// <summary>XNOR, the count of each byte's bits, and an addition of bytes.</summary>
internal sealed unsafe class AdvSimdRoofline : Roofline
{
    private const int Chains = 8;

    /// <inheritdoc/>
    public override string Operations => "XNOR, count and addition of 128 signs";

    /// <inheritdoc/>
    /// <remarks>Each word is the sum before it: nothing can be taken out of the loop.</remarks>
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
