using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Lookup;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Convolutions;

/// <summary>Convolution and transposed convolution of a float input with binary weights; the latter is the input gradient of a binary convolution.</summary>
/// <remarks>
/// <para>target[p][c] = Σ_tap Σ_k scale[k]·source[q(p, tap)][k]·sign[tap][k][c], where q is given by <see cref="ConvolutionGeometry"/>. Sources outside the
/// map contribute 0. Sums of four products come from lookup tables (<c>SignTables</c>), which are built once per source pixel and read at all taps and
/// columns.</para>
/// <para>Reference: Rastegari et al., "XNOR-Net" (ECCV 2016), section 3.1 (Binary-Weight-Networks).</para>
/// </remarks>
public abstract unsafe class BinaryWeightConvolution
{
    /// <summary>Rows of targets and of sign words are padded to a multiple of this many channels.</summary>
    public const int ChannelMultiple = 64;

    /// <summary>The tables of a task should fit a core's second-level cache.</summary>
    private const int TableBytesPerTask = 512 << 10;

    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static BinaryWeightConvolution For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new BinaryWeightConvolution<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new BinaryWeightConvolution<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new BinaryWeightConvolution<AdvSimdFloats, Vector128<float>>(),
        _ => new BinaryWeightConvolution<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static BinaryWeightConvolution Best { get; } = For(InstructionSets.Best);

    /// <summary>Channels of a target pixel in memory: the result's channels rounded up to <see cref="ChannelMultiple"/>.</summary>
    public static int TargetStride(in ConvolutionGeometry geometry) => Round(geometry.TargetChannels, ChannelMultiple);

    /// <summary>Recommended target rows per task: the tables of their sources fit the cache, and neighbouring rows share halos.</summary>
    public static int RowsPerTask(in ConvolutionGeometry geometry)
    {
        var rowBytes = (long)geometry.SourceWidth * PixelTables(geometry) * sizeof(float);
        var sourceRows = (int)Math.Max(1, TableBytesPerTask / rowBytes);
        var targetRows = geometry.Transposed ? sourceRows * geometry.Shape.StrideY : sourceRows / geometry.Shape.StrideY;
        return Math.Clamp(targetRows - geometry.Shape.KernelHeight + 1, 1, geometry.TargetHeight);
    }

    /// <summary>Bytes of scratch that <see cref="Rows"/> takes for a number of rows.</summary>
    public static long ScratchBytes(in ConvolutionGeometry geometry, int rows)
    {
        var sourceRows = Math.Min(geometry.SourceHeight, rows * (geometry.Transposed ? 1 : geometry.Shape.StrideY) + geometry.Shape.KernelHeight);
        var tables = ((long)sourceRows * geometry.SourceWidth + 1) * PixelTables(geometry) * sizeof(float);
        var discarded = (long)TargetStride(geometry) * sizeof(float);
        var columns = (long)geometry.Shape.KernelWidth * PaddedColumns(geometry) * sizeof(nint);
        return tables + discarded + columns + geometry.Shape.Taps * (PixelsPerBlock + 1) * sizeof(void*) + 1024;
    }

    /// <summary>Computes rows of one image's target map.</summary>
    /// <param name="geometry">Convolution or transposed convolution.</param>
    /// <param name="image">Index of the image in the batch.</param>
    /// <param name="firstRow">The first target row.</param>
    /// <param name="rows">Number of target rows.</param>
    /// <param name="source">Source maps of the batch, N×H×W×K.</param>
    /// <param name="scale">One factor per source channel; null for none.</param>
    /// <param name="words">
    /// Signs, taps × ⌈K/32⌉ × <see cref="TargetStride"/>: bit j of word (t, w, c) is set where the sign of source channel k = 32·w + j is +1. A transposed
    /// convolution takes the same signs; the filter is not flipped.
    /// </param>
    /// <param name="scratch">Holds at least <see cref="ScratchBytes"/>.</param>
    /// <param name="target">rows × W' × <see cref="TargetStride"/>.</param>
    public abstract void Rows(
        in ConvolutionGeometry geometry, int image, int firstRow, int rows, float* source, float* scale, uint* words, Scratch scratch, float* target);

    private protected const int PixelsPerBlock = 4;

    /// <summary>Floats in the tables of a source pixel.</summary>
    private protected static int PixelTables(in ConvolutionGeometry geometry) =>
        Words(geometry) * SignPatterns.GroupsPerWord * SignPatterns.TableSize;

    /// <summary>32-bit words per source pixel.</summary>
    private protected static int Words(in ConvolutionGeometry geometry) => (geometry.SourceChannels + 31) / 32;

    /// <summary>Target columns, including those that the last block reads past the end.</summary>
    private protected static int PaddedColumns(in ConvolutionGeometry geometry) => geometry.TargetWidth + PixelsPerBlock * geometry.ColumnStep;

    private static int Round(int value, int multiple) => (value + multiple - 1) / multiple * multiple;
}

/// <summary><see cref="BinaryWeightConvolution"/> for one instruction set.</summary>
internal sealed unsafe class BinaryWeightConvolution<TFloats, TVector> : BinaryWeightConvolution
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <summary>The work of one task.</summary>
    private readonly struct Work(ConvolutionGeometry geometry, int firstSource, float* tables, float* zeroTables, uint* words, nint* sourceColumns)
    {
        /// <summary>
        /// For each filter column and target column, the offset of the source column's tables in their row; negative if there is no such source. Precomputed,
        /// because finding a source column takes a division.
        /// </summary>
        public readonly nint* SourceColumns = sourceColumns;

        /// <summary>Columns of <see cref="SourceColumns"/>. Those past the last target column, which the last block may read, have no source.</summary>
        public readonly int Columns = PaddedColumns(geometry);

        public readonly ConvolutionGeometry Geometry = geometry;
        public readonly int PixelTables = PixelTables(geometry);
        public readonly int Words = Words(geometry);
        public readonly int TargetStride = TargetStride(geometry);

        /// <summary>Tables of zeros, for sources outside the map.</summary>
        public readonly float* ZeroTables = zeroTables;

        public float* Tables(int row) => tables + (nint)(row - firstSource) * Geometry.SourceWidth * PixelTables;

        public uint* Signs(int tap) => words + (long)tap * Words * TargetStride;
    }

    /// <inheritdoc/>
    public override void Rows(
        in ConvolutionGeometry geometry, int image, int firstRow, int rows, float* source, float* scale, uint* words, Scratch scratch, float* target)
    {
        var (first, last) = geometry.SourceRows(firstRow, firstRow + rows - 1);
        var pixelTables = PixelTables(geometry);
        var zeroTables = scratch.Take<float>(pixelTables);
        NativeMemory.Clear(zeroTables, (nuint)pixelTables * sizeof(float));
        var tables = scratch.Take<float>(Math.Max(0L, last - first + 1) * geometry.SourceWidth * pixelTables);
        if (last >= first)
        {
            var pixels = (last - first + 1) * geometry.SourceWidth;
            var offset = ((long)image * geometry.SourceHeight + first) * geometry.SourceWidth * geometry.SourceChannels;
            MakeTables(source + offset, scale, pixels, geometry.SourceChannels, pixelTables, tables);
        }
        var work = new Work(geometry, first, tables, zeroTables, words, SourceColumns(geometry, scratch));
        var discarded = scratch.Take<float>(work.TargetStride);
        var pointers = (float**)scratch.Take<nint>(geometry.Shape.Taps * PixelsPerBlock);
        var signs = (uint**)scratch.Take<nint>(geometry.Shape.Taps);
        for (var row = 0; row < rows; row++)
            Row(work, firstRow + row, pointers, signs, discarded, target + (long)row * geometry.TargetWidth * work.TargetStride);
    }

    private static nint* SourceColumns(in ConvolutionGeometry geometry, Scratch scratch)
    {
        var columns = PaddedColumns(geometry);
        var sources = scratch.Take<nint>(geometry.Shape.KernelWidth * columns);
        for (var kernelColumn = 0; kernelColumn < geometry.Shape.KernelWidth; kernelColumn++)
            for (var column = 0; column < columns; column++)
            {
                var source = column < geometry.TargetWidth ? geometry.SourceColumn(column, kernelColumn) : -1;
                sources[kernelColumn * columns + column] = (nint)source * PixelTables(geometry);
            }
        return sources;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MakeTables(float* source, float* scale, int pixels, int channels, int pixelTables, float* tables)
    {
        TVector s0 = SignTables<TFloats, TVector>.Signs(0), s1 = SignTables<TFloats, TVector>.Signs(1), s2 = SignTables<TFloats, TVector>.Signs(2), s3 = SignTables<TFloats, TVector>.Signs(3);
        var whole = channels / SignPatterns.GroupSize * SignPatterns.GroupSize;
        for (var pixel = 0; pixel < pixels; pixel++, source += channels, tables += pixelTables)
        {
            var table = tables;
            for (var k = 0; k < whole; k += SignPatterns.GroupSize, table += SignPatterns.TableSize)
            {
                var a = source + k;
                var f = scale + k;
                if (scale == null) SignTables<TFloats, TVector>.Write(a[0], a[1], a[2], a[3], s0, s1, s2, s3, table);
                else SignTables<TFloats, TVector>.Write(a[0] * f[0], a[1] * f[1], a[2] * f[2], a[3] * f[3], s0, s1, s2, s3, table);
            }
            if (whole < channels) table = LastTable(source, scale, channels, whole, table);
            NativeMemory.Clear(table, (nuint)((byte*)(tables + pixelTables) - (byte*)table));
        }
    }

    /// <summary>Writes the table of the last one to three channels, padded with zeros.</summary>
    private static float* LastTable(float* source, float* scale, int channels, int whole, float* table)
    {
        var a = stackalloc float[SignPatterns.GroupSize];
        for (var k = whole; k < channels; k++) a[k - whole] = source[k] * (scale == null ? 1 : scale[k]);
        SignTables<TFloats, TVector>.Write(a[0], a[1], a[2], a[3], SignTables<TFloats, TVector>.Signs(0), SignTables<TFloats, TVector>.Signs(1), SignTables<TFloats, TVector>.Signs(2), SignTables<TFloats, TVector>.Signs(3), table);
        return table + SignPatterns.TableSize;
    }

    private static void Row(in Work work, int row, float** tables, uint** signs, float* discarded, float* target)
    {
        var step = work.Geometry.ColumnStep;
        for (var phase = 0; phase < step; phase++)
            for (var column = phase; column < work.Geometry.TargetWidth; column += step * PixelsPerBlock)
            {
                var taps = Collect(work, row, column, tables, signs);
                Block(work, column, taps, tables, signs, discarded, target);
            }
    }

    /// <summary>Collects the taps at which any pixel of the block has a source, with the tables of all four pixels.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int Collect(in Work work, int row, int column, float** tables, uint** signs)
    {
        var shape = work.Geometry.Shape;
        var taps = 0;
        for (var kernelRow = 0; kernelRow < shape.KernelHeight; kernelRow++)
        {
            var sourceRow = work.Geometry.SourceRow(row, kernelRow);
            if (sourceRow < 0) continue;
            var rowTables = work.Tables(sourceRow);
            for (var kernelColumn = 0; kernelColumn < shape.KernelWidth; kernelColumn++)
            {
                var any = false;
                var source = work.SourceColumns + kernelColumn * work.Columns + column;
                var pixels = tables + taps * PixelsPerBlock;
                for (var pixel = 0; pixel < PixelsPerBlock; pixel++, source += work.Geometry.ColumnStep)
                {
                    any |= *source >= 0;
                    pixels[pixel] = *source < 0 ? work.ZeroTables : rowTables + *source;
                }
                if (!any) continue;
                signs[taps++] = work.Signs(kernelRow * shape.KernelWidth + kernelColumn);
            }
        }
        return taps;
    }

    private static void Block(in Work work, int column, int taps, float** tables, uint** signs, float* discarded, float* target)
    {
        var targets = stackalloc float*[PixelsPerBlock];
        for (var pixel = 0; pixel < PixelsPerBlock; pixel++)
        {
            var targetColumn = column + pixel * work.Geometry.ColumnStep;
            targets[pixel] = targetColumn < work.Geometry.TargetWidth ? target + (long)targetColumn * work.TargetStride : discarded;
        }
        var columns = LookupBlock<TFloats, TVector>.Columns;
        for (var channel = 0; channel < work.TargetStride; channel += columns)
        {
            LookupBlock<TFloats, TVector>.Sum(tables, SignPatterns.TableSize, signs, taps, work.Words, work.TargetStride, targets, add: false);
            for (var pixel = 0; pixel < PixelsPerBlock; pixel++) targets[pixel] += columns;
            for (var tap = 0; tap < taps; tap++) signs[tap] += columns;
        }
    }
}
