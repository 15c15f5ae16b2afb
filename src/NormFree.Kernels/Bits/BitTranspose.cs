namespace NormFree.Kernels.Bits;

/// <summary>Transposes matrices of bits.</summary>
internal static unsafe class BitTranspose
{
    /// <summary>Transposes 32 rows × 64 bits: bit j of target word c is bit c of row j.</summary>
    /// <param name="rows">32 rows; null stands for a row of zeros.</param>
    /// <param name="word">Which 64-bit word of each row.</param>
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
