using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Lookup;

/// <summary>The inner loop of every product of floats with signs: four rows of tables times four vectors of indices.</summary>
/// <remarks>
/// <para>target[r][c] (+)= Σ_step Σ_k tables[step][r][k][index(words[step], k, c)], for r in 0 … 3 and c in four vectors. The sixteen sums stay in registers
/// over all steps.</para>
/// <para>Each table and vector costs one permutation and one addition. A table is loaded once per four vectors, and a word of indices once per eight
/// tables of four rows.</para>
/// </remarks>
/// <typeparam name="TFloats">The instruction set.</typeparam>
/// <typeparam name="TVector">Its vector type.</typeparam>
internal static unsafe class LookupBlock<TFloats, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>Rows of tables per block.</summary>
    public const int Rows = 4;

    /// <summary>Columns per block: the lanes of four vectors.</summary>
    public static int Columns => 4 * TFloats.Lanes;

    /// <summary>Sums a block.</summary>
    /// <param name="tables">Four pointers per step, one per row, to 8·<paramref name="words"/> tables each.</param>
    /// <param name="pitch">Floats from one table of a row to the next.</param>
    /// <param name="indices">Per step, the index words of the block's first column.</param>
    /// <param name="steps">Number of steps, e.g. taps of a convolution.</param>
    /// <param name="words">Index words per step and column; each holds the indices of eight tables.</param>
    /// <param name="stride">Words from one index word of a column to the next.</param>
    /// <param name="targets">Four rows of sums, from the block's first column.</param>
    /// <param name="add">Whether to add to the targets instead of overwriting them.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Sum(float** tables, nint pitch, uint** indices, int steps, int words, nint stride, float** targets, bool add)
    {
        var lanes = TFloats.Lanes;
        if (lanes == 8)
        {
            // AVX2 has only sixteen registers.
            SumTwoVectors(tables, pitch, indices, 0, steps, words, stride, targets, add);
            SumTwoVectors(tables, pitch, indices, 2 * lanes, steps, words, stride, targets, add);
            return;
        }
        TVector a00 = default, a01 = default, a02 = default, a03 = default;
        TVector a10 = default, a11 = default, a12 = default, a13 = default;
        TVector a20 = default, a21 = default, a22 = default, a23 = default;
        TVector a30 = default, a31 = default, a32 = default, a33 = default;
        for (var step = 0; step < steps; step++)
        {
            float* t0 = tables[0], t1 = tables[1], t2 = tables[2], t3 = tables[3];
            var index = indices[step];
            for (var word = 0; word < words; word++)
            {
                TVector i0 = TFloats.LoadIndices(index), i1 = TFloats.LoadIndices(index + lanes);
                TVector i2 = TFloats.LoadIndices(index + 2 * lanes), i3 = TFloats.LoadIndices(index + 3 * lanes);
                for (var group = 0; group < SignPatterns.GroupsPerWord; group++)
                {
                    a00 = TFloats.AddLookup(a00, t0, i0);
                    a01 = TFloats.AddLookup(a01, t0, i1);
                    a02 = TFloats.AddLookup(a02, t0, i2);
                    a03 = TFloats.AddLookup(a03, t0, i3);
                    a10 = TFloats.AddLookup(a10, t1, i0);
                    a11 = TFloats.AddLookup(a11, t1, i1);
                    a12 = TFloats.AddLookup(a12, t1, i2);
                    a13 = TFloats.AddLookup(a13, t1, i3);
                    a20 = TFloats.AddLookup(a20, t2, i0);
                    a21 = TFloats.AddLookup(a21, t2, i1);
                    a22 = TFloats.AddLookup(a22, t2, i2);
                    a23 = TFloats.AddLookup(a23, t2, i3);
                    a30 = TFloats.AddLookup(a30, t3, i0);
                    a31 = TFloats.AddLookup(a31, t3, i1);
                    a32 = TFloats.AddLookup(a32, t3, i2);
                    a33 = TFloats.AddLookup(a33, t3, i3);
                    i0 = TFloats.NextIndex(i0);
                    i1 = TFloats.NextIndex(i1);
                    i2 = TFloats.NextIndex(i2);
                    i3 = TFloats.NextIndex(i3);
                    t0 += pitch;
                    t1 += pitch;
                    t2 += pitch;
                    t3 += pitch;
                }
                index += stride;
            }
            tables += Rows;
        }
        Write(targets[0], add, a00, a01, a02, a03);
        Write(targets[1], add, a10, a11, a12, a13);
        Write(targets[2], add, a20, a21, a22, a23);
        Write(targets[3], add, a30, a31, a32, a33);
    }

    /// <summary><see cref="Sum"/> for two of the block's vectors, from its column <paramref name="first"/>: eight sums in registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void SumTwoVectors(
        float** tables, nint pitch, uint** indices, int first, int steps, int words, nint stride, float** targets, bool add)
    {
        TVector a0 = default, b0 = default, a1 = default, b1 = default, a2 = default, b2 = default, a3 = default, b3 = default;
        for (var step = 0; step < steps; step++)
        {
            float* t0 = tables[0], t1 = tables[1], t2 = tables[2], t3 = tables[3];
            var index = indices[step] + first;
            for (var word = 0; word < words; word++)
            {
                TVector a = TFloats.LoadIndices(index), b = TFloats.LoadIndices(index + TFloats.Lanes);
                for (var group = 0; group < SignPatterns.GroupsPerWord; group++)
                {
                    a0 = TFloats.AddLookup(a0, t0, a);
                    b0 = TFloats.AddLookup(b0, t0, b);
                    a1 = TFloats.AddLookup(a1, t1, a);
                    b1 = TFloats.AddLookup(b1, t1, b);
                    a2 = TFloats.AddLookup(a2, t2, a);
                    b2 = TFloats.AddLookup(b2, t2, b);
                    a3 = TFloats.AddLookup(a3, t3, a);
                    b3 = TFloats.AddLookup(b3, t3, b);
                    a = TFloats.NextIndex(a);
                    b = TFloats.NextIndex(b);
                    t0 += pitch;
                    t1 += pitch;
                    t2 += pitch;
                    t3 += pitch;
                }
                index += stride;
            }
            tables += Rows;
        }
        Write(targets[0] + first, add, a0, b0);
        Write(targets[1] + first, add, a1, b1);
        Write(targets[2] + first, add, a2, b2);
        Write(targets[3] + first, add, a3, b3);
    }

    /// <summary>Sums a block of one vector of columns, for the columns that do not fill a whole block. Adds to the targets.</summary>
    /// <param name="tables">One pointer per row, to 8·<paramref name="words"/> tables each.</param>
    /// <param name="pitch">Floats from one table of a row to the next.</param>
    /// <param name="index">The index words of the block's first column.</param>
    /// <param name="words">Index words per column.</param>
    /// <param name="stride">Words from one index word of a column to the next.</param>
    /// <param name="targets">Four rows of sums, from the block's first column.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void AddVector(float** tables, nint pitch, uint* index, int words, nint stride, float** targets)
    {
        float* t0 = tables[0], t1 = tables[1], t2 = tables[2], t3 = tables[3];
        TVector a0 = TFloats.Load(targets[0]), a1 = TFloats.Load(targets[1]), a2 = TFloats.Load(targets[2]), a3 = TFloats.Load(targets[3]);
        for (var word = 0; word < words; word++, index += stride)
        {
            var indices = TFloats.LoadIndices(index);
            for (var group = 0; group < SignPatterns.GroupsPerWord; group++)
            {
                a0 = TFloats.AddLookup(a0, t0, indices);
                a1 = TFloats.AddLookup(a1, t1, indices);
                a2 = TFloats.AddLookup(a2, t2, indices);
                a3 = TFloats.AddLookup(a3, t3, indices);
                indices = TFloats.NextIndex(indices);
                t0 += pitch;
                t1 += pitch;
                t2 += pitch;
                t3 += pitch;
            }
        }
        TFloats.Store(a0, targets[0]);
        TFloats.Store(a1, targets[1]);
        TFloats.Store(a2, targets[2]);
        TFloats.Store(a3, targets[3]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(float* target, bool add, TVector s0, TVector s1, TVector s2, TVector s3)
    {
        Write(target, add, s0, s1);
        Write(target + 2 * TFloats.Lanes, add, s2, s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(float* target, bool add, TVector s0, TVector s1)
    {
        if (add)
        {
            s0 = TFloats.Add(s0, TFloats.Load(target));
            s1 = TFloats.Add(s1, TFloats.Load(target + TFloats.Lanes));
        }
        TFloats.Store(s0, target);
        TFloats.Store(s1, target + TFloats.Lanes);
    }
}
