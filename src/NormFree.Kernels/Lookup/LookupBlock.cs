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
                    a00 = TFloats.Add(a00, TFloats.Lookup(t0, i0));
                    a01 = TFloats.Add(a01, TFloats.Lookup(t0, i1));
                    a02 = TFloats.Add(a02, TFloats.Lookup(t0, i2));
                    a03 = TFloats.Add(a03, TFloats.Lookup(t0, i3));
                    a10 = TFloats.Add(a10, TFloats.Lookup(t1, i0));
                    a11 = TFloats.Add(a11, TFloats.Lookup(t1, i1));
                    a12 = TFloats.Add(a12, TFloats.Lookup(t1, i2));
                    a13 = TFloats.Add(a13, TFloats.Lookup(t1, i3));
                    a20 = TFloats.Add(a20, TFloats.Lookup(t2, i0));
                    a21 = TFloats.Add(a21, TFloats.Lookup(t2, i1));
                    a22 = TFloats.Add(a22, TFloats.Lookup(t2, i2));
                    a23 = TFloats.Add(a23, TFloats.Lookup(t2, i3));
                    a30 = TFloats.Add(a30, TFloats.Lookup(t3, i0));
                    a31 = TFloats.Add(a31, TFloats.Lookup(t3, i1));
                    a32 = TFloats.Add(a32, TFloats.Lookup(t3, i2));
                    a33 = TFloats.Add(a33, TFloats.Lookup(t3, i3));
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
                a0 = TFloats.Add(a0, TFloats.Lookup(t0, indices));
                a1 = TFloats.Add(a1, TFloats.Lookup(t1, indices));
                a2 = TFloats.Add(a2, TFloats.Lookup(t2, indices));
                a3 = TFloats.Add(a3, TFloats.Lookup(t3, indices));
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
        var lanes = TFloats.Lanes;
        if (add)
        {
            s0 = TFloats.Add(s0, TFloats.Load(target));
            s1 = TFloats.Add(s1, TFloats.Load(target + lanes));
            s2 = TFloats.Add(s2, TFloats.Load(target + 2 * lanes));
            s3 = TFloats.Add(s3, TFloats.Load(target + 3 * lanes));
        }
        TFloats.Store(s0, target);
        TFloats.Store(s1, target + lanes);
        TFloats.Store(s2, target + 2 * lanes);
        TFloats.Store(s3, target + 3 * lanes);
    }
}
