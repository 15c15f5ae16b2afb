using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NormFree.Kernels.Bits;

/// <summary>Transposes matrices of bits.</summary>
internal static unsafe class BitTranspose
{
    /// <summary>Transposes 32 rows of up to 64 bits: bit j of target word c is bit c of row j.</summary>
    /// <param name="rows">32 rows; null stands for a row of zeros.</param>
    /// <param name="word">Which 64-bit word of each row.</param>
    /// <param name="columns">Bits of that word to transpose, 1 to 64.</param>
    /// <param name="target">As many words as columns.</param>
    public static void Transpose(ulong** rows, int word, int columns, uint* target)
    {
        var block = stackalloc uint[32];
        for (var first = 0; first < columns; first += 32)
        {
            var words = columns - first >= 32 ? target + first : block;
            for (var j = 0; j < 32; j++) words[j] = rows[j] == null ? 0 : (uint)(rows[j][word] >> first);
            Transpose32(words);
            for (var column = first; words == block && column < columns; column++) target[column] = block[column - first];
        }
    }

    /// <summary>The same for rows at equal distances: bytes of the same columns are collected in a vector, whose uppermost bits are one target word.</summary>
    /// <param name="rows">The word of the first row.</param>
    /// <param name="step">Words from one row to the next.</param>
    /// <param name="columns">Bits of each word to transpose: 16, 32, 48 or 64.</param>
    /// <param name="target">As many words as columns.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Transpose(ulong* rows, nint step, int columns, uint* target)
    {
        for (var first = 0; first < columns; first += 16, target += 16)
        {
            Vector256<ushort> upper = Sixteen(rows, step, first), lower = Sixteen(rows + 16 * step, step, first);
            Columns(Vector256.Narrow(upper & Vector256.Create((ushort)0xFF), lower & Vector256.Create((ushort)0xFF)), target);
            Columns(Vector256.Narrow(upper >>> 8, lower >>> 8), target + 8);
        }
    }

    /// <summary>Sixteen bits of each of sixteen rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ushort> Sixteen(ulong* rows, nint step, int first) => Vector256.Narrow(
        Vector256.Narrow(Four(rows, step) >>> first, Four(rows + 4 * step, step) >>> first) & Vector256.Create(0xFFFFu),
        Vector256.Narrow(Four(rows + 8 * step, step) >>> first, Four(rows + 12 * step, step) >>> first) & Vector256.Create(0xFFFFu));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<ulong> Four(ulong* rows, nint step) =>
        step == 1 ? Vector256.Load(rows) : Vector256.Create(rows[0], rows[step], rows[2 * step], rows[3 * step]);

    /// <summary>The eight columns of a byte of each row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Columns(Vector256<byte> bytes, uint* target)
    {
        for (var column = 7; column >= 0; column--, bytes += bytes) target[column] = bytes.ExtractMostSignificantBits();
    }

    /// <summary>Transposes 32 × 32 bits in place by swapping blocks of 16, 8, 4, 2 and 1 (Warren, "Hacker's Delight", section 7-3).</summary>
    private static void Transpose32(uint* rows)
    {
        var mask = 0x0000FFFFu;
        for (var size = 16; size != 0; size >>= 1, mask ^= mask << size)
            for (var row = 0; row < 32; row = (row + size + 1) & ~size)
            {
                // Bit 0 is the lowest bit of a row: swap the upper part of the first row with the lower part of the second.
                var differ = ((rows[row] >> size) ^ rows[row + size]) & mask;
                rows[row] ^= differ << size;
                rows[row + size] ^= differ;
            }
    }
}
