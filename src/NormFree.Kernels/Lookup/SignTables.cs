using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Lookup;

/// <summary>Tables of signed sums: all that four real numbers can give when each is multiplied by +1 or −1.</summary>
/// <remarks>
/// <para>T[i] = ±a₀ ± a₁ ± a₂ ± a₃, where the sign of aⱼ is + if bit j of i is set, else −.</para>
/// <para>A product of real numbers with bits then is one lookup and one addition for four multiply-accumulates: with 16 floats in a register, 64
/// for one permutation and one addition, where fused multiply-add does 16 an instruction. The "method of four Russians" (Arlazarov et al., 1970).</para>
/// </remarks>
/// <typeparam name="TFloats">The instruction set.</typeparam>
/// <typeparam name="TVector">Its vectors.</typeparam>
internal static unsafe class SignTables<TFloats, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>Writes one table, 16 floats.</summary>
    /// <param name="a0">The number whose sign is bit 0 of the index.</param>
    /// <param name="a1">Bit 1.</param>
    /// <param name="a2">Bit 2.</param>
    /// <param name="a3">Bit 3.</param>
    /// <param name="signs">The four rows of <see cref="SignPatterns"/>.</param>
    /// <param name="table">Where it goes.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(float a0, float a1, float a2, float a3, float* signs, float* table)
    {
        TVector v0 = TFloats.Broadcast(a0), v1 = TFloats.Broadcast(a1), v2 = TFloats.Broadcast(a2), v3 = TFloats.Broadcast(a3);
        for (var i = 0; i < SignPatterns.TableSize; i += TFloats.Lanes)
        {
            var sum = TFloats.Multiply(v0, TFloats.Load(signs + i));
            sum = TFloats.MultiplyAdd(v1, TFloats.Load(signs + 16 + i), sum);
            sum = TFloats.MultiplyAdd(v2, TFloats.Load(signs + 32 + i), sum);
            TFloats.Store(TFloats.MultiplyAdd(v3, TFloats.Load(signs + 48 + i), sum), table + i);
        }
    }
}
