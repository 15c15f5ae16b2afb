using System.Runtime.CompilerServices;
using NormFree.Kernels.Bits;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;

namespace NormFree.Kernels.Packed;

/// <summary>Signs of filters in the layout of the lookup kernels: one byte per group of signs.</summary>
/// <remarks>
/// The order is block of filters, tap, group of a pixel, vector, lane. If the last group of a pixel is incomplete, its missing bits are 0 in the map and
/// alternately 1 and 0 in the filters, so that they cancel. Their number must therefore be even, and so must the number of channels.
/// </remarks>
internal static unsafe class FilterGroups
{
    private const int ChannelsPerWord = SignLayout.Block;

    /// <summary>Start of each block of filters, then the number of filters. A block has 1, 2 or 4 vectors, at most <paramref name="maxVectors"/>.</summary>
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

    /// <summary>Vectors of a block. Three become four with one empty, which shares more work than a block of two and one of one.</summary>
    public static int Vectors(int filters, int lanes) => (filters + lanes - 1) / lanes is 3 ? 4 : (filters + lanes - 1) / lanes;

    /// <summary>Number of signs in a group; the last group of a pixel, or of 64 channels, may have fewer than <paramref name="bits"/>.</summary>
    public static int Channels(int group, int channels, int bits)
    {
        var groupsPerWord = (ChannelsPerWord + bits - 1) / bits;
        var first = group / groupsPerWord * ChannelsPerWord + group % groupsPerWord * bits;
        var end = Math.Min(channels, (group / groupsPerWord + 1) * ChannelsPerWord);
        return Math.Min(bits, end - first);
    }

    /// <summary>Converts the signs of filters.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="signs">O × taps × ⌈C/64⌉ words.</param>
    /// <param name="bits">Signs per group.</param>
    /// <param name="lanes">Bytes per vector.</param>
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

    /// <summary>Converts one filter; its groups are <paramref name="step"/> bytes apart.</summary>
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

    /// <summary>Groups per pixel.</summary>
    private static int Groups(int channels, int bits) =>
        channels / ChannelsPerWord * ((ChannelsPerWord + bits - 1) / bits) + (channels % ChannelsPerWord + bits - 1) / bits;

    /// <summary>The lowest <paramref name="channels"/> bits of a word, then 1, 0, … up to a whole group.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static byte Group(ulong word, int channels, int bits)
    {
        var value = word & (1UL << channels) - 1;
        for (var bit = channels; bit < bits; bit += 2) value |= 1UL << bit;
        return (byte)value;
    }
}

/// <summary>Tables of half the dot products of one group of signs with all possible groups, for <see cref="LookupFilters{TLookups, TVector}"/>.</summary>
/// <remarks>
/// Entry w of table a is bits/2 − popcount(a ⊕ w). One more table has zeros, for pixels outside the map. Each table fills a vector and is aligned to it.
/// </remarks>
internal static unsafe class DotProductTables
{
    /// <summary>Computes the tables.</summary>
    /// <param name="bits">Signs per group.</param>
    /// <param name="length">Bytes per table; shorter tables repeat.</param>
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
