using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary><see cref="PackedFilters"/> by table lookup: a group of a pixel's signs selects a table, and a group of a filter's signs an entry.</summary>
/// <remarks>
/// For instruction sets without a vector population count: one lookup replaces XNOR, popcount and most of the additions. An entry is half the dot product of
/// the two groups. Pixels outside the map select a table of zeros.
/// </remarks>
internal sealed unsafe class LookupFilters<TLookups, TVector> : PackedFilters
    where TLookups : struct, ILookupVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>Pixels × vectors of the largest tile.</summary>
    private const int LargestTile = 16;

    private readonly SignEncoding encoding;
    private readonly PaddingValue padding;
    private readonly NativeBuffer<sbyte> tables = DotProductTables.Create(TLookups.IndexBits, TLookups.Lanes);
    private readonly NativeBuffer<byte> groups;
    private readonly int[] blocks;
    private readonly int groupsPerPixel;
    private readonly LookupSegment[] segments;

    public LookupFilters(SignEncoding encoding, in ConvolutionShape shape, ulong* signs, PaddingValue padding) : base(shape)
    {
        this.encoding = encoding;
        this.padding = padding;
        groupsPerPixel = Layout(1, 1).PixelBytes / sizeof(ushort);
        segments = LookupSegment.Split(shape.KernelHeight, shape.KernelWidth * groupsPerPixel, LookupTiles<TLookups, TVector>.MaxGroups);
        blocks = FilterGroups.Blocks(shape.Out, TLookups.Lanes, TLookups.Registers / 8);
        groups = FilterGroups.Create(shape, signs, TLookups.IndexBits, TLookups.Lanes, blocks);
    }

    /// <summary>Whether lookups support a shape: channels must be even (see <see cref="FilterGroups"/>), and half of each result must fit 16 bits.</summary>
    public static bool Supports(in ConvolutionShape shape) => shape.In % 2 == 0 && (long)shape.Taps * shape.In / 2 <= short.MaxValue;

    /// <inheritdoc/>
    public override ReadOnlySpan<int> Blocks => blocks;

    /// <inheritdoc/>
    public override long ScratchBytes => LargestTile * TLookups.Lanes * sizeof(short) + 64;

    /// <inheritdoc/>
    public override SignLayout Layout(int height, int width) => new(encoding, height, width, Shape.In, Shape.PadY, Shape.PadX);

    /// <inheritdoc/>
    public override void FillPadding(SignMap map)
    {
        var end = (ushort*)(map.Memory + map.Layout.Bytes);
        var group = 0;
        for (var target = (ushort*)map.Memory; target < end; target++)
        {
            *target = PaddingGroup(group);
            if (++group == groupsPerPixel) group = 0;
        }
    }

    /// <inheritdoc/>
    public override void Convolve(SignMap map, in OutputRange range, Scratch scratch, int* accumulators)
    {
        var sums = scratch.Take<short>(LargestTile * TLookups.Lanes);
        var end = range.FirstFilter + range.Filters;
        for (var block = Array.BinarySearch(blocks, range.FirstFilter); blocks[block] < end; block++)
            ConvolveBlock(map, range, block, sums, accumulators + (blocks[block] - range.FirstFilter));
        GC.KeepAlive(this);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        tables.Dispose();
        groups.Dispose();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ConvolveBlock(SignMap map, in OutputRange range, int block, short* sums, int* accumulators)
    {
        var filters = blocks[block + 1] - blocks[block];
        var vectors = FilterGroups.Vectors(filters, TLookups.Lanes);
        var window = new WindowCursor(Shape, map, range.FirstPixel);
        var pixels = stackalloc ushort*[8];
        var atOnce = PixelsAtOnce(vectors);
        var first = groups.Pointer + (long)blocks[block] * Shape.Taps * groupsPerPixel;
        var tile = new LookupTile(segments, map.Layout.RowBytes / sizeof(ushort), first, (byte*)tables.Pointer);
        for (var pixel = 0; pixel < range.Pixels; pixel += atOnce)
        {
            var count = Math.Min(atOnce, range.Pixels - pixel);
            window.Next(count, atOnce, pixels);
            Sum(tile, vectors, pixels, sums);
            for (var i = 0; i < count; i++) Write(sums + i * vectors * TLookups.Lanes, filters, accumulators + (long)(pixel + i) * range.Filters);
        }
    }

    private static int PixelsAtOnce(int vectors) => vectors switch
    {
        4 => 4,
        2 => TLookups.Registers / 4,
        _ => 8,
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Sum(in LookupTile tile, int vectors, ushort** pixels, short* sums)
    {
        switch (vectors)
        {
            case 4: LookupTiles<TLookups, TVector>.FourByFour(tile, pixels, sums); break;
            case 2 when TLookups.Registers == 32: LookupTiles<TLookups, TVector>.EightByTwo(tile, pixels, sums); break;
            case 2: LookupTiles<TLookups, TVector>.FourByTwo(tile, pixels, sums); break;
            default: LookupTiles<TLookups, TVector>.EightByOne(tile, pixels, sums); break;
        }
    }

    /// <summary>Doubles the sums, which are half of the results, and widens them to int32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Write(short* sums, int count, int* accumulators)
    {
        var i = 0;
        for (; i <= count - TLookups.Lanes; i += TLookups.Lanes) TLookups.Double(sums + i, accumulators + i);
        for (; i <= count - Vector128<short>.Count; i += Vector128<short>.Count)
        {
            var (low, high) = Vector128.Widen(Vector128.Load(sums + i));
            (low + low).Store(accumulators + i);
            (high + high).Store(accumulators + i + Vector128<int>.Count);
        }
        for (; i < count; i++) accumulators[i] = 2 * sums[i];
    }

    private ushort PaddingGroup(int group) => (ushort)(TLookups.Lanes * (padding == PaddingValue.Zero
        ? 1 << TLookups.IndexBits
        : (1 << FilterGroups.Channels(group, Shape.In, TLookups.IndexBits)) - 1));
}
