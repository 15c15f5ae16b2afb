using System.Runtime.CompilerServices;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Lookup;

/// <summary>Lookup tables of the sixteen sums ±a₀ ± a₁ ± a₂ ± a₃ of four floats.</summary>
/// <remarks>
/// <para>T[i] = Σⱼ ±aⱼ, where the sign of aⱼ is + if bit j of i is set, else −. Therefore T[15 − i] = −T[i], also after rounding.</para>
/// <para>A product of floats with signs then takes one lookup and one addition per four multiply-accumulates: with 16 floats per register, one permutation
/// and one addition do 64, where one fused multiply-add does 16. "Method of four Russians" (Arlazarov et al., 1970).</para>
/// </remarks>
/// <typeparam name="TFloats">The instruction set.</typeparam>
/// <typeparam name="TVector">Its vector type.</typeparam>
internal static unsafe class SignTables<TFloats, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>The signs of one of the four numbers in a table's first entries. Load them once, before a loop that writes tables.</summary>
    public static TVector Signs(int number) => TFloats.Load(SignPatterns.Pointer + number * SignPatterns.TableSize);

    /// <summary>Writes one table: those of its 16 floats that <typeparamref name="TFloats"/> reads.</summary>
    /// <param name="a0">The number whose sign is bit 0 of the index.</param>
    /// <param name="a1">Bit 1.</param>
    /// <param name="a2">Bit 2.</param>
    /// <param name="a3">Bit 3.</param>
    /// <param name="s0"><see cref="Signs"/> of number 0.</param>
    /// <param name="s1">Of number 1.</param>
    /// <param name="s2">Of number 2.</param>
    /// <param name="s3">Of number 3.</param>
    /// <param name="table">Output.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(float a0, float a1, float a2, float a3, TVector s0, TVector s1, TVector s2, TVector s3, float* table)
    {
        TVector v0 = TFloats.Broadcast(a0), v1 = TFloats.Broadcast(a1), v2 = TFloats.Broadcast(a2), v3 = TFloats.Broadcast(a3);
        TFloats.Store(Sum(v0, v1, v2, v3, s0, s1, s2, s3), table);
        // Only if a vector is shorter than what is read of a table.
        for (var i = TFloats.Lanes; i < TFloats.TableEntries; i += TFloats.Lanes)
        {
            var signs = SignPatterns.Pointer + i;
            s0 = TFloats.Load(signs);
            s1 = TFloats.Load(signs + SignPatterns.TableSize);
            s2 = TFloats.Load(signs + 2 * SignPatterns.TableSize);
            s3 = TFloats.Load(signs + 3 * SignPatterns.TableSize);
            TFloats.Store(Sum(v0, v1, v2, v3, s0, s1, s2, s3), table + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Sum(TVector v0, TVector v1, TVector v2, TVector v3, TVector s0, TVector s1, TVector s2, TVector s3) =>
        TFloats.MultiplyAdd(v3, s3, TFloats.MultiplyAdd(v2, s2, TFloats.MultiplyAdd(v1, s1, TFloats.Multiply(v0, s0))));
}

/// <summary>Signs of the four numbers in the sixteen entries of a table.</summary>
internal static unsafe class SignPatterns
{
    /// <summary>Entries per table.</summary>
    public const int TableSize = 16;

    /// <summary>Numbers summed by a table.</summary>
    public const int GroupSize = 4;

    /// <summary>Table indices in a 32-bit word.</summary>
    public const int GroupsPerWord = 8;

    private static readonly NativeBuffer<float> Patterns = Make();

    /// <summary>Four rows of 16: entry i of row j is +1 where bit j of i is set, else −1.</summary>
    public static readonly float* Pointer = Patterns.Pointer;

    private static NativeBuffer<float> Make()
    {
        var patterns = new NativeBuffer<float>(GroupSize * TableSize);
        for (var number = 0; number < GroupSize; number++)
            for (var entry = 0; entry < TableSize; entry++)
                patterns.Pointer[number * TableSize + entry] = (entry >> number & 1) == 1 ? 1 : -1;
        return patterns;
    }
}
