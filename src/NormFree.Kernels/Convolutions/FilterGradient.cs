using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Lookup;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary>Gradient of a convolution's weights where the input is binary.</summary>
/// <remarks>
/// <para>dw[o][tap][c] = Σ_p dy[p][o]·x[q(p, tap)][c], where q(p, tap) is the input pixel that output pixel p reads at a tap; x is ±1 inside the map and 0
/// outside. Sums of four pixels' products come from lookup tables (<c>SignTables</c>).</para>
/// <para><see cref="UnfoldedPixelWords"/> encode padding as −1. What is subtracted at padding is the same for all channels and is added back.</para>
/// </remarks>
public abstract unsafe class FilterGradient
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static FilterGradient For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new FilterGradient<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new FilterGradient<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new FilterGradient<AdvSimdFloats, Vector128<float>>(),
        _ => new FilterGradient<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static FilterGradient Best { get; } = For(InstructionSets.Best);

    /// <summary>Computes the gradient.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="outputGradient">dy, output pixels × O.</param>
    /// <param name="words">The input's signs as <see cref="UnfoldedPixelWords"/>.</param>
    /// <param name="target">dw, O × taps × C, overwritten.</param>
    /// <param name="workers">Threads; they do not affect the result.</param>
    public abstract void Compute(ConvolutionShape shape, float* outputGradient, uint* words, float* target, IWorkers workers);
}

/// <summary><see cref="FilterGradient"/> for one instruction set.</summary>
internal sealed unsafe class FilterGradient<TFloats, TVector> : FilterGradient
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private const int Rows = LookupBlock<TFloats, TVector>.Rows;

    /// <summary>Filters per task: one cache line of dy, so that only one task reads a line.</summary>
    private const int FiltersPerTask = 16;

    /// <summary>Chunks of 32 pixels whose tables are built at once: the tables of 16 filters take 256 KiB and stay in the second-level cache.</summary>
    private const int ChunksAtOnce = 32;

    /// <summary>Prefetch distance in dy, in pixels.</summary>
    private const int PixelsAhead = 32;

    private const int PixelsPerChunk = SignPatterns.GroupSize * SignPatterns.GroupsPerWord;

    /// <summary>Floats from one table of a filter to its next; the tables of a task's filters are interleaved, so that they are written in memory order.</summary>
    private const int Pitch = FiltersPerTask * SignPatterns.TableSize;

    /// <summary>The work of one task: some filters, all pixels.</summary>
    private readonly struct Work(ConvolutionShape shape, int first, float* gradient, uint* words, float* target)
    {
        public readonly ConvolutionShape Shape = shape;
        public readonly int First = first;
        public readonly int Filters = Math.Min(FiltersPerTask, shape.Out - first);
        public readonly float* Gradient = gradient;
        public readonly uint* Words = words;
        public readonly float* Target = target + (long)first * shape.Taps * shape.In;
    }

    /// <inheritdoc/>
    public override void Compute(ConvolutionShape shape, float* outputGradient, uint* words, float* target, IWorkers workers)
    {
        workers.Run((shape.Out + FiltersPerTask - 1) / FiltersPerTask, task =>
        {
            var work = new Work(shape, task * FiltersPerTask, outputGradient, words, target);
            int chunks = UnfoldedPixelWords.Chunks(shape), columns = UnfoldedPixelWords.Stride(shape);
            var scratch = Scratch.OfThread(((long)ChunksAtOnce * SignPatterns.GroupsPerWord * Pitch + (long)FiltersPerTask * columns) * sizeof(float) + 1024);
            var tables = scratch.Take<float>((long)ChunksAtOnce * SignPatterns.GroupsPerWord * Pitch);
            var sums = scratch.Take<float>((long)FiltersPerTask * columns);
            new Span<float>(sums, FiltersPerTask * columns).Clear();
            for (var chunk = 0; chunk < chunks; chunk += ChunksAtOnce)
            {
                var count = Math.Min(ChunksAtOnce, chunks - chunk);
                MakeTables(work, chunk, count, tables);
                Sum(work, chunk, count, tables, sums);
            }
            Write(work, sums);
            AddBackPadding(work);
        });
    }

    /// <summary>Builds the tables of four pixels each, interleaved by filter. Tables past the last pixel, or of missing filters, are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MakeTables(in Work work, int firstChunk, int chunks, float* tables)
    {
        nint outputs = work.Shape.Out;
        int first = firstChunk * PixelsPerChunk, filters = work.Filters, rows = (filters + Rows - 1) / Rows * Rows;
        var pixels = Math.Min(chunks * PixelsPerChunk, work.Shape.OutPixels - first);
        if (rows > filters || pixels < chunks * PixelsPerChunk) NativeMemory.Clear(tables, (nuint)(chunks * SignPatterns.GroupsPerWord * Pitch * sizeof(float)));
        var dy = work.Gradient + first * outputs + work.First;
        var groups = pixels / SignPatterns.GroupSize;
        MakeTables(dy, outputs, groups, filters, tables);
        for (var filter = 0; filter < filters && groups * SignPatterns.GroupSize < pixels; filter++)
            LastTable(dy + groups * SignPatterns.GroupSize * outputs + filter, outputs, pixels % SignPatterns.GroupSize, tables + groups * Pitch + filter * SignPatterns.TableSize);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MakeTables(float* dy, nint outputs, int groups, int filters, float* tables)
    {
        TVector s0 = SignTables<TFloats, TVector>.Signs(0), s1 = SignTables<TFloats, TVector>.Signs(1);
        TVector s2 = SignTables<TFloats, TVector>.Signs(2), s3 = SignTables<TFloats, TVector>.Signs(3);
        for (var group = 0; group < groups; group++, dy += SignPatterns.GroupSize * outputs, tables += Pitch)
        {
            // Lines of 16 filters are far apart from pixel to pixel; hardware prefetchers do not follow such strides.
            for (var pixel = 0; pixel < SignPatterns.GroupSize; pixel++) TFloats.Prefetch(dy + (PixelsAhead + pixel) * outputs);
            var table = tables;
            for (var filter = 0; filter < filters; filter++, table += SignPatterns.TableSize)
            {
                var d = dy + filter;
                SignTables<TFloats, TVector>.Write(d[0], d[outputs], d[2 * outputs], d[3 * outputs], s0, s1, s2, s3, table);
            }
        }
    }

    /// <summary>Writes the table of the last one to three pixels.</summary>
    private static void LastTable(float* dy, nint outputs, int pixels, float* table)
    {
        var a = stackalloc float[SignPatterns.GroupSize];
        for (var pixel = 0; pixel < pixels; pixel++) a[pixel] = dy[pixel * outputs];
        SignTables<TFloats, TVector>.Write(
            a[0], a[1], a[2], a[3], SignTables<TFloats, TVector>.Signs(0), SignTables<TFloats, TVector>.Signs(1),
            SignTables<TFloats, TVector>.Signs(2), SignTables<TFloats, TVector>.Signs(3), table);
    }

    /// <summary>Adds the chunks' products to the sums, filters × taps × C'. A block of columns spans taps where these have few channels.</summary>
    private static void Sum(in Work work, int firstChunk, int chunks, float* tables, float* sums)
    {
        int columns = UnfoldedPixelWords.Stride(work.Shape), block = LookupBlock<TFloats, TVector>.Columns;
        float** rows = stackalloc float*[Rows], targets = stackalloc float*[Rows];
        for (int column = 0, width; column < columns; column += width)
        {
            width = column + block <= columns ? block : TFloats.Lanes;
            var words = work.Words + (long)firstChunk * columns + column;
            for (var filter = 0; filter < work.Filters; filter += Rows)
            {
                for (var row = 0; row < Rows; row++)
                {
                    rows[row] = tables + (filter + row) * SignPatterns.TableSize;
                    targets[row] = sums + (nint)(filter + row) * columns + column;
                }
                if (width == block) LookupBlock<TFloats, TVector>.Sum(rows, Pitch, &words, 1, chunks, columns, targets, add: true);
                else LookupBlock<TFloats, TVector>.AddVector(rows, Pitch, words, chunks, columns, targets);
            }
        }
    }

    /// <summary>Copies the sums without their padding channels.</summary>
    private static void Write(in Work work, float* sums)
    {
        int channels = work.Shape.In, perTap = UnfoldedPixelWords.WordsPerTap(work.Shape);
        for (var tap = 0; tap < work.Filters * work.Shape.Taps; tap++)
            new ReadOnlySpan<float>(sums + (nint)tap * perTap, channels).CopyTo(new Span<float>(work.Target + (nint)tap * channels, channels));
    }

    /// <summary>Adds dy of the pixels that read padding at a tap, which was subtracted because padding is encoded as −1.</summary>
    private static void AddBackPadding(in Work work)
    {
        var shape = work.Shape;
        var sums = new float[shape.Taps * FiltersPerTask];
        for (var y = 0; y < shape.OutHeight; y++)
            for (var x = 0; x < shape.OutWidth; x++)
            {
                if (shape.PixelsWithoutPadding(x, y) is > 0 and var inside) x += inside - 1;
                else AddPixel(work, x, y, sums);
            }
        for (var tap = 0; tap < shape.Taps; tap++)
            for (var filter = 0; filter < work.Filters; filter++)
            {
                var sum = sums[tap * FiltersPerTask + filter];
                if (sum == 0) continue;
                var target = work.Target + ((long)filter * shape.Taps + tap) * shape.In;
                for (var channel = 0; channel < shape.In; channel++) target[channel] += sum;
            }
    }

    /// <summary>Adds dy of a pixel, summed over the images, to the taps at which it reads padding.</summary>
    private static void AddPixel(in Work work, int x, int y, Span<float> sums)
    {
        var shape = work.Shape;
        var sum = stackalloc float[FiltersPerTask];
        SumOverImages(work, y * shape.OutWidth + x, sum);
        for (var tap = 0; tap < shape.Taps; tap++)
        {
            if (shape.ReadsInput(x, y, tap)) continue;
            for (var filter = 0; filter < work.Filters; filter++) sums[tap * FiltersPerTask + filter] += sum[filter];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SumOverImages(in Work work, int pixel, float* sum)
    {
        var imageSize = (nint)work.Shape.OutHeight * work.Shape.OutWidth * work.Shape.Out;
        var dy = work.Gradient + (nint)pixel * work.Shape.Out + work.First;
        var filter = 0;
        for (; filter + TFloats.Lanes <= work.Filters; filter += TFloats.Lanes)
        {
            var total = TFloats.Broadcast(0);
            for (var image = 0; image < work.Shape.Batch; image++) total = TFloats.Add(total, TFloats.Load(dy + filter + image * imageSize));
            TFloats.Store(total, sum + filter);
        }
        for (; filter < work.Filters; filter++)
        {
            for (var image = 0; image < work.Shape.Batch; image++) sum[filter] += dy[filter + image * imageSize];
        }
    }
}
