using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace NormFree.Kernels.Convolutions;

/// <summary>Counts every word: CNT counts the bits of sixteen bytes at once, which no adder beats.</summary>
internal readonly unsafe struct AdvSimdProducts : IXnorProducts
{
    /// <summary>So many counts of up to 8 fit into a byte.</summary>
    private const int WordsOfByte = 31;

    /// <inheritdoc/>
    public static int Filters => 4;

    /// <inheritdoc/>
    public static int MostWords => int.MaxValue;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(ulong* pixels, nint stride, int count, ulong* filters, int words, int bits, int* target, nint targetStride)
    {
        for (; count > 0; count -= 2, pixels += 2 * stride, target += 2 * targetStride)
        {
            // Two pixels share the filters' words. A last one keeps itself company.
            var second = Math.Min(count, 2) - 1;
            ulong* a = pixels, b = pixels + second * stride;
            Vector128<uint> lowA = default, highA = default, lowB = default, highB = default;
            for (var first = 0; first < words; first += WordsOfByte)
            {
                var end = Math.Min(words, first + WordsOfByte);
                Vector128<byte> bytesLowA = default, bytesHighA = default, bytesLowB = default, bytesHighB = default;
                for (nint i = first; i < end; i++)
                {
                    var filter = filters + i * PreparedFilters.Interleave;
                    Vector128<ulong> low = Vector128.Load(filter), high = Vector128.Load(filter + 2);
                    Vector128<ulong> wordA = Vector128.Create(a[i]), wordB = Vector128.Create(b[i]);
                    bytesLowA += AdvSimd.PopCount((low ^ wordA).AsByte());
                    bytesHighA += AdvSimd.PopCount((high ^ wordA).AsByte());
                    bytesLowB += AdvSimd.PopCount((low ^ wordB).AsByte());
                    bytesHighB += AdvSimd.PopCount((high ^ wordB).AsByte());
                }
                lowA += Widen(bytesLowA);
                highA += Widen(bytesHighA);
                lowB += Widen(bytesLowB);
                highB += Widen(bytesHighB);
            }
            Store(lowA, highA, bits, target);
            Store(lowB, highB, bits, target + second * targetStride);
        }
    }

    /// <summary>Sums of four bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Widen(Vector128<byte> bytes) => AdvSimd.AddPairwiseWidening(AdvSimd.AddPairwiseWidening(bytes));

    /// <summary>Two halves of a word's count side by side: their sums are the counts of four filters.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector128<uint> low, Vector128<uint> high, int bits, int* target)
    {
        var counts = AdvSimd.Arm64.AddPairwise(low, high).AsInt32();
        (Vector128.Create(bits) - counts - counts).Store(target);
    }
}
