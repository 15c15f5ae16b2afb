namespace NormFree.Kernels.Bits;

/// <summary>Packed signs as numbers, for kernels that know no bits.</summary>
public static unsafe class SignUnpacking
{
    /// <summary>Writes +1 where a bit is set, else −1.</summary>
    /// <param name="signs">pixels × ⌈C/64⌉ words, as <c>SignPacking</c> writes them.</param>
    /// <param name="pixels">How many.</param>
    /// <param name="channels">C.</param>
    /// <param name="target">pixels × C.</param>
    public static void Unpack(ulong* signs, int pixels, int channels, float* target)
    {
        for (var pixel = 0; pixel < pixels; pixel++)
        for (var channel = 0; channel < channels; signs++)
        {
            var word = *signs;
            for (var last = Math.Min(channels, channel + 64); channel < last; channel++, word >>= 1)
                *target++ = BitConverter.UInt32BitsToSingle(0xBF800000u ^ ((uint)word << 31)); // −1, its sign turned where the bit is set
        }
    }
}
