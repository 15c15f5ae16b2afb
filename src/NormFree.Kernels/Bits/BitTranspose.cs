namespace NormFree.Kernels.Bits;

/// <summary>Turns rows of bits into columns.</summary>
internal static unsafe class BitTranspose
{
    /// <summary>Writes 64 words: bit j of word c is bit c of the row j's word; 0 where the row is null.</summary>
    /// <param name="rows">32 rows, null for rows of zeros.</param>
    /// <param name="word">Which word of each row.</param>
    /// <param name="target">64 words.</param>
    public static void Transpose(ulong** rows, int word, uint* target)
    {
        uint* low = target, high = target + 32;
        for (var j = 0; j < 32; j++)
        {
            var bits = rows[j] == null ? 0 : rows[j][word];
            low[j] = (uint)bits;
            high[j] = (uint)(bits >> 32);
        }
        Transpose32(low);
        Transpose32(high);
    }

    /// <summary>Transposes a matrix of 32 × 32 bits in place: blocks of 16, 8, 4, 2 and 1 change places (Warren, "Hacker's Delight", section 7-3).</summary>
    private static void Transpose32(uint* rows)
    {
        var mask = 0x0000FFFFu;
        for (var size = 16; size != 0; size >>= 1, mask ^= mask << size)
            for (var row = 0; row < 32; row = (row + size + 1) & ~size)
            {
                // Bit c of a row counts from the lowest: the upper part of the first row changes places with the lower part of the second.
                var differ = ((rows[row] >> size) ^ rows[row + size]) & mask;
                rows[row] ^= differ << size;
                rows[row + size] ^= differ;
            }
    }
}
