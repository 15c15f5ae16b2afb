using System.Numerics;
using System.Runtime.CompilerServices;

namespace NormFree.Kernels.Simd;

/// <summary>One word, counted by one instruction where the processor has it.</summary>
public readonly unsafe struct ScalarBits : IBitVectors<ulong>
{
    /// <inheritdoc/>
    public static int Lanes => 1;

    /// <inheritdoc/>
    public static ulong Zero => 0;

    /// <inheritdoc/>
    public static ulong Load(ulong* source) => *source;

    /// <inheritdoc/>
    public static ulong Xor(ulong a, ulong* word) => a ^ *word;

    /// <inheritdoc/>
    public static ulong CountBytes(ulong a) => (ulong)BitOperations.PopCount(a);

    /// <inheritdoc/>
    public static ulong AddBytes(ulong a, ulong b) => a + b;

    /// <inheritdoc/>
    public static ulong SumBytes(ulong a) => a;

    /// <inheritdoc/>
    public static ulong AddWords(ulong a, ulong b) => a + b;

    /// <inheritdoc/>
    public static void Store(ulong counts, int bits, int* target) => *target = bits - 2 * (int)counts;
}
