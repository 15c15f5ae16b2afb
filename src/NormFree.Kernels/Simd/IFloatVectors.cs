namespace NormFree.Kernels.Simd;

/// <summary>
/// Arithmetic on vectors of floats: what an instruction set must offer for a kernel to be written once. Kernels take the implementation as a type
/// parameter, so that every call is a single instruction and nothing is chosen inside a loop.
/// </summary>
/// <typeparam name="TVector">What a register holds: <see cref="Lanes"/> floats.</typeparam>
public unsafe interface IFloatVectors<TVector> where TVector : unmanaged
{
    /// <summary>Floats in a vector.</summary>
    static abstract int Lanes { get; }

    /// <summary>All lanes the same.</summary>
    static abstract TVector Broadcast(float value);

    /// <summary>The <see cref="Lanes"/> floats from an address, which need not be aligned.</summary>
    static abstract TVector Load(float* source);

    /// <summary>Writes all lanes; the address need not be aligned.</summary>
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

    /// <summary>a·b + c; rounded once where the processor can.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>|a|.</summary>
    static abstract TVector Abs(TVector a);

    /// <summary>All bits set in the lanes where a &lt; b, none in the others.</summary>
    static abstract TVector LessThan(TVector a, TVector b);

    /// <summary>Lane by lane, yes where the mask's bits are set, else no.</summary>
    static abstract TVector Select(TVector mask, TVector yes, TVector no);

    /// <summary>The sum of all lanes, in an order that depends on the instruction set alone.</summary>
    static abstract float Sum(TVector a);

    /// <summary>Integers to floats: <see cref="Lanes"/> of them from an address.</summary>
    static abstract TVector Convert(int* source);

    /// <summary><see cref="Lanes"/> 32-bit words, to be used as the indices of <see cref="Lookup"/>.</summary>
    static abstract TVector LoadIndices(uint* source);

    /// <summary>Lane by lane table[index mod 16]; an index is the lowest four bits of a lane of <paramref name="words"/>.</summary>
    /// <param name="table">16 floats.</param>
    /// <param name="words">From <see cref="LoadIndices"/>.</param>
    static abstract TVector Lookup(float* table, TVector words);

    /// <summary>Shifts every word right by four bits: to its next index.</summary>
    static abstract TVector NextIndex(TVector words);

    /// <summary>Asks for the cache line of an address that will be read soon; nothing happens where nothing lies there.</summary>
    static abstract void Prefetch(float* source);
}

/// <summary>Signs of floats as bits: what an instruction set must offer for packing.</summary>
/// <typeparam name="TVector">What a register holds.</typeparam>
public interface ISignVectors<TVector> where TVector : unmanaged
{
    /// <summary>Bit i is set where lane i of a is at least that of b; not where one of them is NaN.</summary>
    static abstract ulong GreaterOrEqual(TVector a, TVector b);
}
