namespace NormFree.Kernels.Simd;

/// <summary>
/// Logic and counting on vectors of 64-bit words: what an instruction set that cannot count bits must offer to the XNOR convolution. Every bit
/// position has its adders; a lane belongs to one output channel, so that sums never go across lanes.
/// </summary>
/// <remarks>
/// Many words are added up in carry-save form (Harley and Seal), and only the few that remain are counted, by table lookup. Reference: Muła, Kurz,
/// Lemire, "Faster population counts using AVX2 instructions", The Computer Journal 61 (2018).
/// </remarks>
/// <typeparam name="TVector">What a register holds: <see cref="Lanes"/> words.</typeparam>
public unsafe interface ICarrySaveVectors<TVector> where TVector : unmanaged
{
    /// <summary>64-bit words in a vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>No bit set.</summary>
    static abstract TVector Zero { get; }

    /// <summary>The <see cref="Lanes"/> words from an address, which need not be aligned.</summary>
    static abstract TVector Load(ulong* source);

    /// <summary>a ⊕ word, the word the same for all lanes.</summary>
    static abstract TVector Xor(TVector a, ulong* word);

    /// <summary>Full adder: sum ← sum ⊕ a ⊕ b; returns the carries, the majority of the three.</summary>
    static abstract TVector Add(ref TVector sum, TVector a, TVector b);

    /// <summary>How many bits of each byte are set.</summary>
    static abstract TVector CountBytes(TVector a);

    /// <summary>For each byte: bits in ones + 2·bits in twos + 4·bits in fours, at most 56.</summary>
    static abstract TVector CountBytes(TVector ones, TVector twos, TVector fours);

    /// <summary>For each byte: 8·bits in eights, at most 64.</summary>
    static abstract TVector CountEights(TVector eights);

    /// <summary>Sums byte by byte.</summary>
    static abstract TVector AddBytes(TVector a, TVector b);

    /// <summary>The sum of each word's bytes, as a 64-bit number.</summary>
    static abstract TVector SumBytes(TVector a);

    /// <summary>a + 16·b, 64-bit numbers.</summary>
    static abstract TVector AddSixteens(TVector a, TVector b);

    /// <summary>Writes bits − 2·counts, lane by lane, as <see cref="Lanes"/> 32-bit integers.</summary>
    static abstract void Store(TVector counts, int bits, int* target);
}
