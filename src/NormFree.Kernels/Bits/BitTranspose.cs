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
