using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;

namespace NormFree.Kernels.Packed;

/// <summary>Filters as lookups read them: a byte for a group of signs.</summary>
/// <remarks>
/// Their order is block of filters, tap, group of the pixel, vector, lane. Bits that a pixel's last group lacks are 0 in the map, and by turns 1 and 0 in filters,
/// so that they contribute nothing; that takes an even number of them, and so of channels.
/// </remarks>
internal static unsafe class FilterGroups
{
    private const int ChannelsOfWord = SignLayout.Block;

    /// <summary>Where blocks begin, and the number of filters: full vectors as long as there are filters for them, at most so many of them, and 1, 2 or 4.</summary>
    public static int[] Blocks(int filters, int lanes, int mostVectors)
    {
        var blocks = new List<int> { 0 };
        for (var first = 0; first < filters;)
        {
            var vectors = Math.Min(mostVectors, Vectors(filters - first, lanes));
            blocks.Add(first = Math.Min(filters, first + vectors * lanes));
        }
        return [.. blocks];
    }

    /// <summary>Vectors that a block of so many filters takes: not three, since two and one would share less work than four of which one is empty.</summary>
    public static int Vectors(int filters, int lanes) => (filters + lanes - 1) / lanes is 3 ? 4 : (filters + lanes - 1) / lanes;

    /// <summary>Signs of a group: those that the last one of a pixel, or of 64 channels, has fewer.</summary>
    public static int Channels(int group, int channels, int bits)
    {
        var groupsOfWord = (ChannelsOfWord + bits - 1) / bits;
        var first = group / groupsOfWord * ChannelsOfWord + group % groupsOfWord * bits;
        var end = Math.Min(channels, (group / groupsOfWord + 1) * ChannelsOfWord);
        return Math.Min(bits, end - first);
    }

    /// <summary>Makes them.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="signs">O × taps × ⌈C/64⌉ words.</param>
    /// <param name="bits">Signs of a group.</param>
    /// <param name="lanes">Bytes of a vector.</param>
    /// <param name="blocks">From <see cref="Blocks"/>.</param>
    public static NativeBuffer<byte> Create(in ConvolutionShape shape, ulong* signs, int bits, int lanes, int[] blocks)
    {
        int words = (shape.In + ChannelsOfWord - 1) / ChannelsOfWord, groupsOfWord = (ChannelsOfWord + bits - 1) / bits;
        var groupsOfPixel = (words - 1) * groupsOfWord + ((shape.In - 1) % ChannelsOfWord + bits) / bits;
        var groupsOfFilter = shape.Taps * groupsOfPixel;
        var vectorsInAll = 0;
        for (var block = 0; block + 1 < blocks.Length; block++) vectorsInAll += Vectors(blocks[block + 1] - blocks[block], lanes);
        var target = new NativeBuffer<byte>((long)vectorsInAll * lanes * groupsOfFilter).Cleared();
        for (var block = 0; block + 1 < blocks.Length; block++)
        {
            var step = Vectors(blocks[block + 1] - blocks[block], lanes) * lanes;
            for (var filter = blocks[block]; filter < blocks[block + 1]; filter++)
            {
                var to = target.Pointer + (long)blocks[block] * groupsOfFilter + (filter - blocks[block]);
                var from = signs + (long)filter * shape.Taps * words;
                for (var tap = 0; tap < shape.Taps; tap++, from += words)
                    for (var group = 0; group < groupsOfPixel; group++, to += step)
                        *to = Group(from[group / groupsOfWord] >> group % groupsOfWord * bits, Channels(group, shape.In, bits), bits);
            }
        }
        return target;
    }

    /// <summary>The lowest bits of a word, and 1, 0, … behind the last channel.</summary>
    private static byte Group(ulong word, int channels, int bits)
    {
        var value = word & (1UL << channels) - 1;
        for (var bit = channels; bit < bits; bit += 2) value |= 1UL << bit;
        return (byte)value;
    }
}
