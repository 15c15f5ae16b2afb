using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Rooflines;

/// <summary>XNOR, and one full adder for two words: what is left of counting where words are added up in carry-save form.</summary>
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
    /// <remarks>Each word is the sum before it: nothing can be taken out of the loop.</remarks>
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
