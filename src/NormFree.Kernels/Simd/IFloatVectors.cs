namespace NormFree.Kernels.Simd;

/// <summary>
/// Arithmetic on vectors of floats. Kernels are written once and take the implementation as a type parameter, so that the JIT turns every call into a single
/// instruction without branches.
/// </summary>
/// <typeparam name="TVector">A register of <see cref="Lanes"/> floats.</typeparam>
public unsafe interface IFloatVectors<TVector> where TVector : unmanaged
{
    /// <summary>Floats per vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>Sets all lanes to a value.</summary>
    static abstract TVector Broadcast(float value);

    /// <summary>Loads <see cref="Lanes"/> floats from an unaligned address.</summary>
    static abstract TVector Load(float* source);

    /// <summary>Stores all lanes to an unaligned address.</summary>
    static abstract void Store(TVector value, float* target);

    /// <summary>a + b.</summary>
    static abstract TVector Add(TVector a, TVector b);

    /// <summary>a − b.</summary>
    static abstract TVector Subtract(TVector a, TVector b);

    /// <summary>a·b.</summary>
    static abstract TVector Multiply(TVector a, TVector b);

    /// <summary>a/b.</summary>
    static abstract TVector Divide(TVector a, TVector b);

    /// <summary>√a.</summary>
    static abstract TVector SquareRoot(TVector a);

    /// <summary>a·b + c, fused (rounded once) where the processor supports it.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>|a|.</summary>
    static abstract TVector Abs(TVector a);

    /// <summary>All bits set in lanes where a &lt; b, none in the others.</summary>
    static abstract TVector LessThan(TVector a, TVector b);

    /// <summary>Lane by lane: yes where the mask's bits are set, else no.</summary>
    static abstract TVector Select(TVector mask, TVector yes, TVector no);

    /// <summary>The sum of all lanes, in an order that depends only on the instruction set.</summary>
    static abstract float Sum(TVector a);

    /// <summary>Loads <see cref="Lanes"/> integers and converts them to floats.</summary>
    static abstract TVector Convert(int* source);

    /// <summary>How many of a table's first entries <see cref="AddLookup"/> reads: 16, or 8, because entry 15 − i is the negative of entry i.</summary>
    static abstract int TableEntries { get; }

    /// <summary>Loads <see cref="Lanes"/> 32-bit words of indices for <see cref="AddLookup"/>.</summary>
    static abstract TVector LoadIndices(uint* source);

    /// <summary>Lane by lane sum + table[index], where the index is the lowest four bits of a lane of <paramref name="words"/>.</summary>
    /// <param name="sum">The sum.</param>
    /// <param name="table">16 floats (<c>SignTables</c>), of which the first <see cref="TableEntries"/> are read.</param>
    /// <param name="words">From <see cref="LoadIndices"/>.</param>
    static abstract TVector AddLookup(TVector sum, float* table, TVector words);

    /// <summary>Shifts each word right by four bits, to its next index.</summary>
    static abstract TVector NextIndex(TVector words);

    /// <summary>Prefetches the cache line of an address; an invalid address is ignored.</summary>
    static abstract void Prefetch(float* source);
}

/// <summary>Comparisons of float vectors as packed bits.</summary>
/// <typeparam name="TVector">A register of floats.</typeparam>
public interface ISignVectors<TVector> where TVector : unmanaged
{
    /// <summary>Bit i is set where lane i of a ≥ lane i of b; never where one of them is NaN.</summary>
    static abstract ulong GreaterOrEqual(TVector a, TVector b);
}
