namespace NormFree.Kernels.Simd;

/// <summary>Signs of floats as bits: what an instruction set must offer for packing.</summary>
/// <typeparam name="TVector">What a register holds.</typeparam>
public interface ISignVectors<TVector> where TVector : unmanaged
{
    /// <summary>Bit i is set where lane i of a is at least that of b; not where one of them is NaN.</summary>
    static abstract ulong AtLeast(TVector a, TVector b);
}
