namespace NormFree.Kernels.Simd;

/// <summary>Signs of floats as bits: what an instruction set must offer for packing.</summary>
/// <typeparam name="TVector">What a register holds.</typeparam>
public interface ISignVectors<TVector> where TVector : unmanaged
{
    /// <summary>Bit i is set where lane i is at least 0; not where it is NaN.</summary>
    static abstract ulong AtLeastZero(TVector a);
}
