using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Rooflines;

/// <summary>Upper bounds of a core's speed in binary convolutions: loops of the convolution's arithmetic in registers, and loops of loads.</summary>
/// <remarks>Williams, Waterman, Patterson, "Roofline", Communications of the ACM 52 (2009).</remarks>
public abstract unsafe class Roofline
{
    private protected Roofline()
    {
    }

    /// <summary>The loops of an instruction set, with the operations that <c>PackedFilters</c> uses there.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static Roofline For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 when Avx512Vbmi.IsSupported => new LookupRoofline<Avx512Lookups, Avx512Floats, Vector512<byte>, Vector512<float>>(),
        InstructionSet.Avx512 => new CarrySaveRoofline<Avx512Bits, Avx512Floats, Vector512<ulong>, Vector512<float>>(),
        InstructionSet.Avx2 => new LookupRoofline<Avx2Lookups, Avx2Floats, Vector256<byte>, Vector256<float>>(),
        InstructionSet.AdvSimd => new AdvSimdRoofline(),
        _ => new ScalarRoofline(),
    };

    /// <summary>Describes the operations of one step of <see cref="Compute"/>.</summary>
    public abstract string Operations { get; }

    /// <summary>Runs the arithmetic in registers.</summary>
    /// <param name="rounds">Number of rounds.</param>
    /// <param name="result">A value that depends on all operations, so that none can be optimised away.</param>
    /// <returns>Number of multiply-accumulates of signs.</returns>
    public abstract long Compute(int rounds, out ulong result);

    /// <summary>Reads memory sequentially.</summary>
    /// <param name="source">First value.</param>
    /// <param name="count">Number of floats, a multiple of 128.</param>
    /// <returns>Sum of the values.</returns>
    public abstract float Read(float* source, long count);
}

/// <summary>Loads and additions in eight independent chains, which hide the latency of an addition.</summary>
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
