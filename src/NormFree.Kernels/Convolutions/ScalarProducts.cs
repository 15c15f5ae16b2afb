using System.Numerics;
using System.Runtime.CompilerServices;

namespace NormFree.Kernels.Convolutions;

/// <summary>Counts word by word, by one instruction where the processor has it: runs everywhere.</summary>
internal readonly unsafe struct ScalarProducts : IXnorProducts
{
    /// <inheritdoc/>
    public static int Filters => 4;

    /// <inheritdoc/>
    public static int MostWords => int.MaxValue;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        for (; count > 0; count--, pixels += stride, target += targetStride)
        {
            var filter = filters;
            int a = 0, b = 0, c = 0, d = 0;
            for (nint i = 0; i < words; i++, filter += PreparedFilters.Interleave)
            {
                var word = pixels[i];
                a += BitOperations.PopCount(word ^ filter[0]);
                b += BitOperations.PopCount(word ^ filter[1]);
                c += BitOperations.PopCount(word ^ filter[2]);
                d += BitOperations.PopCount(word ^ filter[3]);
            }
            target[0] = bits - 2 * a;
            target[1] = bits - 2 * b;
            target[2] = bits - 2 * c;
            target[3] = bits - 2 * d;
        }
    }
}
