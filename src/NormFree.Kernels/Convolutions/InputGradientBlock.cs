using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Convolutions;

/// <summary>Inner loops of <see cref="InputGradient"/>: the sums of eight pixels stay in registers over all taps and output channels.</summary>
/// <param name="offsets">For each tap, floats from what a pixel reads at the first tap to what it reads at this one.</param>
/// <param name="weights">For each tap, the filters of the first vector of channels.</param>
/// <param name="taps">Number of taps.</param>
/// <param name="outputs">Number of output channels.</param>
internal readonly unsafe ref struct InputGradientBlock<TFloats, TVector>(nint* offsets, float** weights, int taps, int outputs)
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>One vector of channels, from channel <paramref name="channel"/> of the targets on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public void OneVector(float** sources, float** targets, int channel)
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
        for (var tap = 0; tap < taps; tap++)
        {
            var offset = offsets[tap];
            float* s0 = sources[0] + offset, s1 = sources[1] + offset, s2 = sources[2] + offset, s3 = sources[3] + offset;
            float* s4 = sources[4] + offset, s5 = sources[5] + offset, s6 = sources[6] + offset, s7 = sources[7] + offset;
            var weight = weights[tap];
            // Addresses without an index: with one, an Intel processor splits a multiply-add of a broadcast number into two operations.
            var k = 0;
            for (; k <= outputs - 4; k += 4, weight += 4 * TFloats.Lanes)
            {
                Add(TFloats.Load(weight), s0, s1, s2, s3, s4, s5, s6, s7, ref a0, ref a1, ref a2, ref a3, ref a4, ref a5, ref a6, ref a7);
                Add(TFloats.Load(weight + TFloats.Lanes), s0 + 1, s1 + 1, s2 + 1, s3 + 1, s4 + 1, s5 + 1, s6 + 1, s7 + 1, ref a0, ref a1, ref a2, ref a3, ref a4, ref a5, ref a6, ref a7);
                Add(TFloats.Load(weight + 2 * TFloats.Lanes), s0 + 2, s1 + 2, s2 + 2, s3 + 2, s4 + 2, s5 + 2, s6 + 2, s7 + 2, ref a0, ref a1, ref a2, ref a3, ref a4, ref a5, ref a6, ref a7);
                Add(TFloats.Load(weight + 3 * TFloats.Lanes), s0 + 3, s1 + 3, s2 + 3, s3 + 3, s4 + 3, s5 + 3, s6 + 3, s7 + 3, ref a0, ref a1, ref a2, ref a3, ref a4, ref a5, ref a6, ref a7);
                s0 += 4;
                s1 += 4;
                s2 += 4;
                s3 += 4;
                s4 += 4;
                s5 += 4;
                s6 += 4;
                s7 += 4;
            }
            for (nint i = 0; k < outputs; k++, i++, weight += TFloats.Lanes)
                Add(TFloats.Load(weight), s0 + i, s1 + i, s2 + i, s3 + i, s4 + i, s5 + i, s6 + i, s7 + i, ref a0, ref a1, ref a2, ref a3, ref a4, ref a5, ref a6, ref a7);
        }
        TFloats.Store(a0, targets[0] + channel);
        TFloats.Store(a1, targets[1] + channel);
        TFloats.Store(a2, targets[2] + channel);
        TFloats.Store(a3, targets[3] + channel);
        TFloats.Store(a4, targets[4] + channel);
        TFloats.Store(a5, targets[5] + channel);
        TFloats.Store(a6, targets[6] + channel);
        TFloats.Store(a7, targets[7] + channel);
    }

    /// <summary>Adds the products of a vector with eight numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(
        TVector w, float* x0, float* x1, float* x2, float* x3, float* x4, float* x5, float* x6, float* x7,
        ref TVector a0, ref TVector a1, ref TVector a2, ref TVector a3, ref TVector a4, ref TVector a5, ref TVector a6, ref TVector a7)
    {
        a0 = TFloats.MultiplyAdd(w, TFloats.Broadcast(*x0), a0);
        a1 = TFloats.MultiplyAdd(w, TFloats.Broadcast(*x1), a1);
        a2 = TFloats.MultiplyAdd(w, TFloats.Broadcast(*x2), a2);
        a3 = TFloats.MultiplyAdd(w, TFloats.Broadcast(*x3), a3);
        a4 = TFloats.MultiplyAdd(w, TFloats.Broadcast(*x4), a4);
        a5 = TFloats.MultiplyAdd(w, TFloats.Broadcast(*x5), a5);
        a6 = TFloats.MultiplyAdd(w, TFloats.Broadcast(*x6), a6);
        a7 = TFloats.MultiplyAdd(w, TFloats.Broadcast(*x7), a7);
    }

    /// <summary>Two vectors of channels, whose filters are <paramref name="next"/> floats apart: half as many loads for each multiplication.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public void TwoVectors(float** sources, nint next, float** targets, int channel)
    {
        TVector a0 = default, a1 = default, a2 = default, a3 = default, a4 = default, a5 = default, a6 = default, a7 = default;
        TVector b0 = default, b1 = default, b2 = default, b3 = default, b4 = default, b5 = default, b6 = default, b7 = default;
        for (var tap = 0; tap < taps; tap++)
        {
            var offset = offsets[tap];
            float* s0 = sources[0] + offset, s1 = sources[1] + offset, s2 = sources[2] + offset, s3 = sources[3] + offset;
            float* s4 = sources[4] + offset, s5 = sources[5] + offset, s6 = sources[6] + offset, s7 = sources[7] + offset;
            var weight = weights[tap];
            for (nint k = 0; k < outputs; k++, weight += TFloats.Lanes)
            {
                TVector w = TFloats.Load(weight), v = TFloats.Load(weight + next);
                var x0 = TFloats.Broadcast(s0[k]);
                a0 = TFloats.MultiplyAdd(w, x0, a0);
                b0 = TFloats.MultiplyAdd(v, x0, b0);
                var x1 = TFloats.Broadcast(s1[k]);
                a1 = TFloats.MultiplyAdd(w, x1, a1);
                b1 = TFloats.MultiplyAdd(v, x1, b1);
                var x2 = TFloats.Broadcast(s2[k]);
                a2 = TFloats.MultiplyAdd(w, x2, a2);
                b2 = TFloats.MultiplyAdd(v, x2, b2);
                var x3 = TFloats.Broadcast(s3[k]);
                a3 = TFloats.MultiplyAdd(w, x3, a3);
                b3 = TFloats.MultiplyAdd(v, x3, b3);
                var x4 = TFloats.Broadcast(s4[k]);
                a4 = TFloats.MultiplyAdd(w, x4, a4);
                b4 = TFloats.MultiplyAdd(v, x4, b4);
                var x5 = TFloats.Broadcast(s5[k]);
                a5 = TFloats.MultiplyAdd(w, x5, a5);
                b5 = TFloats.MultiplyAdd(v, x5, b5);
                var x6 = TFloats.Broadcast(s6[k]);
                a6 = TFloats.MultiplyAdd(w, x6, a6);
                b6 = TFloats.MultiplyAdd(v, x6, b6);
                var x7 = TFloats.Broadcast(s7[k]);
                a7 = TFloats.MultiplyAdd(w, x7, a7);
                b7 = TFloats.MultiplyAdd(v, x7, b7);
            }
        }
        Store(a0, b0, targets[0] + channel);
        Store(a1, b1, targets[1] + channel);
        Store(a2, b2, targets[2] + channel);
        Store(a3, b3, targets[3] + channel);
        Store(a4, b4, targets[4] + channel);
        Store(a5, b5, targets[5] + channel);
        Store(a6, b6, targets[6] + channel);
        Store(a7, b7, targets[7] + channel);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(TVector first, TVector second, float* target)
    {
        TFloats.Store(first, target);
        TFloats.Store(second, target + TFloats.Lanes);
    }
}
