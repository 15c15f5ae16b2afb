using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Lookup;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>Convolution of a binary input with float weights: the forward pass of the first training stage.</summary>
/// <remarks>
/// <para>y[p][o] = Σ_tap Σ_c w[o][tap][c]·x[q(p, tap)][c], where q(p, tap) is the input pixel that output pixel p reads at a tap; x is ±1 inside the map
/// and 0 outside. Sums of four weights come from lookup tables (<c>SignTables</c>), which are built once for a group of filters and read by all
/// pixels.</para>
/// <para><see cref="UnfoldedChannelWords"/> encode padding as −1. The weights that are subtracted at padding are added back.</para>
/// </remarks>
public abstract unsafe class BinaryInputConvolution
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static BinaryInputConvolution For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new BinaryInputConvolution<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new BinaryInputConvolution<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new BinaryInputConvolution<AdvSimdFloats, Vector128<float>>(),
        _ => new BinaryInputConvolution<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static BinaryInputConvolution Best { get; } = For(InstructionSets.Best);

    /// <summary>Convolves the whole batch.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="words">The input's signs as <see cref="UnfoldedChannelWords"/>.</param>
    /// <param name="filters">Weights, O × taps × C.</param>
    /// <param name="target">Output pixels × O, overwritten.</param>
    /// <param name="workers">Threads; they do not affect the result.</param>
    public abstract void Compute(ConvolutionShape shape, uint* words, float* filters, float* target, IWorkers workers);
}

/// <summary><see cref="BinaryInputConvolution"/> for one instruction set.</summary>
internal sealed unsafe class BinaryInputConvolution<TFloats, TVector> : BinaryInputConvolution
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private const int Rows = LookupBlock<TFloats, TVector>.Rows;

    /// <summary>Most filters per task: one cache line of a pixel's results.</summary>
    private const int MaxFilters = 16;

    /// <summary>The tables of a task should stay in a core's second-level cache.</summary>
    private const int MaxTableBytes = 640 << 10;

    /// <summary>Pixels per task; building tables pays off from a few hundred.</summary>
    private const int PixelsPerTask = 2048;

    /// <summary>The work of one task: some filters, some pixels.</summary>
    private readonly struct Work(ConvolutionShape shape, int firstFilter, int maxFilters, int firstPixel, uint* words, float* filters, float* target)
    {
        /// <summary>Floats from one table of a filter to its next; the tables of a task's filters are interleaved.</summary>
        public readonly int Pitch = maxFilters * SignPatterns.TableSize;

        public readonly ConvolutionShape Shape = shape;
        public readonly int FirstPixel = firstPixel;
        public readonly int Pixels = Math.Min(PixelsPerTask, shape.OutPixels - firstPixel);
        public readonly int Filters = Math.Min(maxFilters, shape.Out - firstFilter);
        public readonly uint* Words = words + firstPixel;
        public readonly float* Weights = filters + (long)firstFilter * shape.Taps * shape.In;
        public readonly float* Target = target + (long)firstPixel * shape.Out + firstFilter;

        public readonly int Tables = UnfoldedChannelWords.Tables(shape);
    }

    /// <inheritdoc/>
    public override void Compute(ConvolutionShape shape, uint* words, float* filters, float* target, IWorkers workers)
    {
        int parts = (shape.OutPixels + PixelsPerTask - 1) / PixelsPerTask, maxFilters = FiltersPerTask(shape);
        var columns = LookupBlock<TFloats, TVector>.Columns;
        workers.Run((shape.Out + maxFilters - 1) / maxFilters * parts, task =>
        {
            var work = new Work(shape, task / parts * maxFilters, maxFilters, task % parts * PixelsPerTask, words, filters, target);
            var tableFloats = (long)work.Tables * work.Pitch;
            var scratch = Scratch.OfThread((tableFloats + maxFilters * columns + maxFilters * shape.Taps) * sizeof(float) + 1024);
            var tables = scratch.Take<float>(tableFloats);
            var sums = scratch.Take<float>(maxFilters * columns);
            MakeTables(work, tables);
            for (var pixel = 0; pixel < work.Pixels; pixel += columns)
            {
                Sum(work, pixel, tables, sums);
                FourByFour.Transpose(
                    sums, columns, work.Filters, Math.Min(columns, work.Pixels - pixel), work.Target + (long)pixel * shape.Out, shape.Out);
            }
            AddBackPadding(work, scratch.Take<float>(maxFilters * shape.Taps));
        });
    }

    private static int FiltersPerTask(in ConvolutionShape shape)
    {
        var filters = MaxFilters;
        while (filters > Rows && (long)filters * UnfoldedChannelWords.Tables(shape) * SignPatterns.TableSize * sizeof(float) > MaxTableBytes) filters /= 2;
        return filters;
    }

    private static void MakeTables(in Work work, float* tables)
    {
        NativeMemory.Clear(tables, (nuint)((long)work.Tables * work.Pitch * sizeof(float)));
        var tapStride = UnfoldedChannelWords.BitsPerTap(work.Shape) / SignPatterns.GroupSize * work.Pitch;
        for (var tap = 0; tap < work.Shape.Taps; tap++)
            for (var filter = 0; filter < work.Filters; filter++)
            {
                var weights = work.Weights + ((long)filter * work.Shape.Taps + tap) * work.Shape.In;
                MakeTables(weights, work.Shape.In, work.Pitch, tables + (long)tap * tapStride + filter * SignPatterns.TableSize);
            }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MakeTables(float* weights, int channels, int pitch, float* table)
    {
        TVector s0 = SignTables<TFloats, TVector>.Signs(0), s1 = SignTables<TFloats, TVector>.Signs(1);
        TVector s2 = SignTables<TFloats, TVector>.Signs(2), s3 = SignTables<TFloats, TVector>.Signs(3);
        var channel = 0;
        for (; channel + SignPatterns.GroupSize <= channels; channel += SignPatterns.GroupSize, weights += SignPatterns.GroupSize, table += pitch)
            SignTables<TFloats, TVector>.Write(weights[0], weights[1], weights[2], weights[3], s0, s1, s2, s3, table);
        if (channel == channels) return;
        var left = channels - channel;
        SignTables<TFloats, TVector>.Write(weights[0], left > 1 ? weights[1] : 0, left > 2 ? weights[2] : 0, 0, s0, s1, s2, s3, table);
    }

    /// <summary>Sums a block of pixels for all filters; the result is filters × pixels.</summary>
    private static void Sum(in Work work, int pixel, float* tables, float* sums)
    {
        var columns = LookupBlock<TFloats, TVector>.Columns;
        float** rows = stackalloc float*[Rows], targets = stackalloc float*[Rows];
        var words = work.Words + pixel;
        int count = UnfoldedChannelWords.Words(work.Shape), stride = UnfoldedChannelWords.Stride(work.Shape);
        for (var filter = 0; filter < work.Filters; filter += Rows)
        {
            for (var row = 0; row < Rows; row++)
            {
                rows[row] = tables + (filter + row) * SignPatterns.TableSize;
                targets[row] = sums + (filter + row) * columns;
            }
            LookupBlock<TFloats, TVector>.Sum(rows, work.Pitch, &words, 1, count, stride, targets, add: false);
        }
    }

    /// <summary>Adds the weights of taps at padding, which were subtracted because padding is encoded as −1.</summary>
    private static void AddBackPadding(in Work work, float* tapSums)
    {
        var shape = work.Shape;
        for (var tap = 0; tap < shape.Taps; tap++)
            for (var filter = 0; filter < work.Filters; filter++)
            {
                var weights = work.Weights + ((long)filter * shape.Taps + tap) * shape.In;
                var sum = 0f;
                for (var channel = 0; channel < shape.In; channel++) sum += weights[channel];
                tapSums[tap * work.Filters + filter] = sum;
            }
        for (var pixel = 0; pixel < work.Pixels; pixel++)
        {
            var at = work.FirstPixel + pixel;
            int x = at % shape.OutWidth, y = at / shape.OutWidth % shape.OutHeight;
            var inside = shape.PixelsWithoutPadding(x, y);
            if (inside > 0) pixel += inside - 1;
            else AddBackPadding(work, x, y, tapSums, work.Target + (long)pixel * shape.Out);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddBackPadding(in Work work, int x, int y, float* tapSums, float* target)
    {
        var shape = work.Shape;
        int top = y * shape.StrideY - shape.PadY, left = x * shape.StrideX - shape.PadX;
        for (var row = top; row < top + shape.KernelHeight; row++)
            for (var column = left; column < left + shape.KernelWidth; column++, tapSums += work.Filters)
            {
                if ((uint)row >= (uint)shape.Height || (uint)column >= (uint)shape.Width) Add(tapSums, work.Filters, target);
            }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(float* values, int count, float* target)
    {
        var i = 0;
        for (; i + TFloats.Lanes <= count; i += TFloats.Lanes) TFloats.Store(TFloats.Add(TFloats.Load(target + i), TFloats.Load(values + i)), target + i);
        for (; i < count; i++) target[i] += values[i];
    }
}
