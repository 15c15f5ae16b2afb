namespace NormFree.Kernels.Simd;

/// <summary>
/// Adders on vectors of 64-bit words, each bit on its own: where no instruction counts bits, many words are added up in carry-save form (Harley and
/// Seal) and only the few that remain are counted.
/// </summary>
/// <remarks>
/// Reference: Muła, Kurz, Lemire, "Faster population counts using AVX2 instructions", The Computer Journal 61 (2018).
/// </remarks>
/// <typeparam name="TVector">What a register holds.</typeparam>
public unsafe interface ICarrySaveVectors<TVector> : IBitVectors<TVector> where TVector : unmanaged
{
    /// <summary>Full adder: sum ← sum ⊕ a ⊕ b; returns the carries, the majority of the three.</summary>
    static abstract TVector Add(ref TVector sum, TVector a, TVector b);

    /// <summary>
    /// Full adder over two products: sum ← sum ⊕ (a ⊕ words[0]) ⊕ (b ⊕ words[1]); returns the majority of the three terms. An operation of its own
    /// because ternary logic computes it in three instructions, two products and an adder take four.
    /// </summary>
    static abstract TVector AddProducts(ref TVector sum, TVector a, TVector b, ulong* words);

    /// <summary>For each word: bits in ones + 2·bits in twos + 4·bits in fours + 8·bits in eights + 16·the sum of the bytes of sixteens.</summary>
    static abstract TVector Total(TVector ones, TVector twos, TVector fours, TVector eights, TVector sixteens);
}
