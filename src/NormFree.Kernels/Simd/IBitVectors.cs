namespace NormFree.Kernels.Simd;

/// <summary>
/// Logic and counting on vectors of 64-bit words: what an instruction set must offer to the XNOR convolution. A lane belongs to one output channel, so
/// that sums never go across lanes.
/// </summary>
/// <typeparam name="TVector">What a register holds: <see cref="Lanes"/> words.</typeparam>
public unsafe interface IBitVectors<TVector> where TVector : unmanaged
{
    /// <summary>64-bit words in a vector: 8, 4, 2 or 1.</summary>
    static abstract int Lanes { get; }

    /// <summary>No bit set.</summary>
    static abstract TVector Zero { get; }

    /// <summary>The <see cref="Lanes"/> words from an address, which need not be aligned.</summary>
    static abstract TVector Load(ulong* source);

    /// <summary>a ⊕ word, the word the same for all lanes.</summary>
    static abstract TVector Xor(TVector a, ulong* word);

    /// <summary>How many bits of each byte are set. Where a lane is counted at once, of each word.</summary>
    static abstract TVector CountBytes(TVector a);

    /// <summary>Sums byte by byte, or word by word where <see cref="CountBytes"/> counts words.</summary>
    static abstract TVector AddBytes(TVector a, TVector b);

    /// <summary>The sum of each word's bytes, as a 64-bit number.</summary>
    static abstract TVector SumBytes(TVector a);

    /// <summary>Sums of 64-bit numbers.</summary>
    static abstract TVector AddWords(TVector a, TVector b);

    /// <summary>Writes bits − 2·counts, lane by lane, as <see cref="Lanes"/> 32-bit integers.</summary>
    static abstract void Store(TVector counts, int bits, int* target);
}
