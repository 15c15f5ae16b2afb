using System.Runtime.CompilerServices;
using NormFree.Kernels.Bits;
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
    private const int ChannelsPerWord = SignLayout.Block;

    /// <summary>Where blocks begin, and the number of filters: full vectors as long as there are filters for them, at most so many of them, and 1, 2 or 4.</summary>
    public static int[] Blocks(int filters, int lanes, int maxVectors)
    {
        var blocks = new List<int> { 0 };
        for (var first = 0; first < filters;)
        {
            var vectors = Math.Min(maxVectors, Vectors(filters - first, lanes));
            blocks.Add(first = Math.Min(filters, first + vectors * lanes));
        }
        return [.. blocks];
    }

    /// <summary>Vectors that a block of so many filters takes: not three, since two and one would share less work than four of which one is empty.</summary>
    public static int Vectors(int filters, int lanes) => (filters + lanes - 1) / lanes is 3 ? 4 : (filters + lanes - 1) / lanes;

    /// <summary>Signs of a group: those that the last one of a pixel, or of 64 channels, has fewer.</summary>
    public static int Channels(int group, int channels, int bits)
    {
        var groupsPerWord = (ChannelsPerWord + bits - 1) / bits;
        var first = group / groupsPerWord * ChannelsPerWord + group % groupsPerWord * bits;
        var end = Math.Min(channels, (group / groupsPerWord + 1) * ChannelsPerWord);
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
        var groupsPerFilter = shape.Taps * Groups(shape.In, bits);
        var vectorCount = 0;
        for (var block = 0; block + 1 < blocks.Length; block++) vectorCount += Vectors(blocks[block + 1] - blocks[block], lanes);
        var target = new NativeBuffer<byte>((long)vectorCount * lanes * groupsPerFilter).Cleared();
        for (var block = 0; block + 1 < blocks.Length; block++)
        {
            var step = Vectors(blocks[block + 1] - blocks[block], lanes) * lanes;
            var first = target.Pointer + (long)blocks[block] * groupsPerFilter;
            for (var filter = blocks[block]; filter < blocks[block + 1]; filter++, signs += shape.Taps * SignPacking.Words(shape.In))
                Fill(shape, signs, bits, step, first + (filter - blocks[block]));
        }
        return target;
    }

    /// <summary>One filter, whose groups lie so far apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Fill(in ConvolutionShape shape, ulong* signs, int bits, int step, byte* target)
    {
        for (var tap = 0; tap < shape.Taps; tap++)
            for (var word = 0; word < shape.In; word += ChannelsPerWord, signs++)
            {
                var channels = Math.Min(ChannelsPerWord, shape.In - word);
                for (var channel = 0; channel < channels; channel += bits, target += step)
                    *target = Group(*signs >> channel, Math.Min(bits, channels - channel), bits);
            }
    }

    /// <summary>Groups of a pixel.</summary>
    private static int Groups(int channels, int bits) =>
        channels / ChannelsPerWord * ((ChannelsPerWord + bits - 1) / bits) + (channels % ChannelsPerWord + bits - 1) / bits;

    /// <summary>The lowest bits of a word, and 1, 0, … behind the last channel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte Group(ulong word, int channels, int bits)
    {
        var value = word & (1UL << channels) - 1;
        for (var bit = channels; bit < bits; bit += 2) value |= 1UL << bit;
        return (byte)value;
    }
}

/// <summary>For every group of signs of a pixel, half its scalar products with all groups of a filter: what <see cref="LookupFilters{TLookups, TVector}"/> adds up.</summary>
/// <remarks>
/// Table a has at w: bits/2 − popcount(a ⊕ w). One table more has zeros: for pixels outside the map. Tables are as long as a vector, and aligned to it.
/// </remarks>
internal static unsafe class DotProductTables
{
    /// <summary>Makes the tables.</summary>
    /// <param name="bits">Signs of a group.</param>
    /// <param name="length">Bytes of a table: a table repeats in it.</param>
    public static NativeBuffer<sbyte> Create(int bits, int length)
    {
        var groups = 1 << bits;
        var tables = new NativeBuffer<sbyte>((long)(groups + 1) * length).Cleared();
        for (var pixel = 0; pixel < groups; pixel++)
            for (var i = 0; i < length; i++)
                tables.Pointer[pixel * length + i] = (sbyte)(bits / 2 - int.PopCount(pixel ^ i % groups));
        return tables;
    }
}
