namespace NormFree.Kernels.Packed;

/// <summary>How a pixel's signs lie in memory; which one depends on how binary filters are multiplied with them.</summary>
public enum SignEncoding
{
    /// <summary>64 channels in a word, one bit each, as <c>SignPacking</c> writes them.</summary>
    Words,

    /// <summary>
    /// Six channels in 16 bits: 64 times the six signs as a number, which is where their table of 64 bytes begins. Groups begin anew every 64 channels:
    /// eleven take them, the last with four.
    /// </summary>
    SixBits,

    /// <summary>Four channels in 16 bits: 32 times the four signs as a number, which is where their table of 32 bytes begins.</summary>
    FourBits,
}
