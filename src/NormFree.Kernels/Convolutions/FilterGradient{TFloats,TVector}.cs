using System.Runtime.InteropServices;
using NormFree.Kernels.Lookup;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary><see cref="FilterGradient"/> on one instruction set.</summary>
internal sealed unsafe class FilterGradient<TFloats, TVector> : FilterGradient
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private const int Rows = LookupBlock<TFloats, TVector>.Rows;

    /// <summary>Filters of a task: a cache line of dy, so that each line is read by one task.</summary>
    private const int FiltersOfTask = 16;

    /// <summary>Chunks of 32 pixels whose tables are made at once: 16 filters' tables take 256 KiB and stay in the second-level cache.</summary>
    private const int ChunksAtOnce = 32;

    private const int PixelsOfChunk = SignPatterns.GroupSize * SignPatterns.GroupsInWord;
    private const int TablesOfChunk = SignPatterns.GroupsInWord * SignPatterns.TableSize;

    /// <summary>
    /// Floats of a filter's tables, and some between it and the next: at a distance of a power of two all filters' tables would fall into the same
    /// few lines of the first-level cache.
    /// </summary>
    private static int Pitch(int chunks) => chunks * TablesOfChunk + 5 * SignPatterns.TableSize;

    /// <summary>What a task works on: some filters, all pixels.</summary>
    private readonly struct Work(ConvolutionShape shape, int first, float* gradient, uint* planes, float* target)
    {
        public readonly ConvolutionShape Shape = shape;
        public readonly int First = first;
        public readonly int Filters = Math.Min(FiltersOfTask, shape.Out - first);
        public readonly float* Gradient = gradient;
        public readonly uint* Planes = planes;
        public readonly float* Target = target + (long)first * shape.Taps * shape.In;
    }

    /// <inheritdoc/>
    public override void Compute(ConvolutionShape shape, float* outputGradient, uint* planes, float* target, IWorkers workers)
    {
        workers.Run((shape.Out + FiltersOfTask - 1) / FiltersOfTask, task =>
        {
            var work = new Work(shape, task * FiltersOfTask, outputGradient, planes, target);
            var chunks = TapPlanes.Chunks(shape);
            var scratch = Scratch.OfThread(((long)FiltersOfTask * Pitch(ChunksAtOnce) + (Rows + 1) * LookupBlock<TFloats, TVector>.Columns) * sizeof(float) + 1024);
            var tables = scratch.Take<float>((long)FiltersOfTask * Pitch(ChunksAtOnce));
            var edge = scratch.Take<float>(Rows * LookupBlock<TFloats, TVector>.Columns);
            NativeMemory.Clear(work.Target, (nuint)((long)work.Filters * shape.Taps * shape.In * sizeof(float)));
            for (var chunk = 0; chunk < chunks; chunk += ChunksAtOnce)
            {
                var count = Math.Min(ChunksAtOnce, chunks - chunk);
                MakeTables(work, chunk, count, tables);
                Sum(work, chunk, count, tables, edge);
            }
            AddBackPadding(work);
        });
    }

    /// <summary>Tables of four pixels each, filter by filter; those behind the last pixel, and of filters that there are not, are zero.</summary>
    private static void MakeTables(in Work work, int firstChunk, int chunks, float* tables)
    {
        var signs = SignPatterns.Pointer;
        int outputs = work.Shape.Out, first = firstChunk * PixelsOfChunk;
        var pixels = Math.Min(chunks * PixelsOfChunk, work.Shape.OutPixels - first);
        var rows = (work.Filters + Rows - 1) / Rows * Rows;
        if (rows > work.Filters || pixels < chunks * PixelsOfChunk)
            NativeMemory.Clear(tables, (nuint)((long)rows * Pitch(chunks) * sizeof(float)));
        for (var pixel = 0; pixel < pixels; pixel += SignPatterns.GroupSize)
        {
            var dy = work.Gradient + (long)(first + pixel) * outputs + work.First;
            var table = tables + pixel / SignPatterns.GroupSize * SignPatterns.TableSize;
            var left = pixels - pixel;
            for (var filter = 0; filter < work.Filters; filter++, dy++, table += Pitch(chunks))
            {
                if (left >= SignPatterns.GroupSize)
                    SignTables<TFloats, TVector>.Write(dy[0], dy[outputs], dy[2 * outputs], dy[3 * outputs], signs, table);
                else
                    SignTables<TFloats, TVector>.Write(dy[0], left > 1 ? dy[outputs] : 0, left > 2 ? dy[2 * outputs] : 0, 0, signs, table);
            }
        }
    }

    private static void Sum(in Work work, int firstChunk, int chunks, float* tables, float* edge)
    {
        int columns = LookupBlock<TFloats, TVector>.Columns, stride = TapPlanes.Stride(work.Shape), channels = work.Shape.In;
        var ofFilter = (long)work.Shape.Taps * channels;
        float** rows = stackalloc float*[Rows], targets = stackalloc float*[Rows];
        for (var tap = 0; tap < work.Shape.Taps; tap++)
        for (var channel = 0; channel < channels; channel += columns)
        {
            var words = work.Planes + tap * TapPlanes.PlaneWords(work.Shape) + (long)firstChunk * stride + channel;
            for (var filter = 0; filter < work.Filters; filter += Rows)
            {
                var target = work.Target + filter * ofFilter + tap * channels + channel;
                var whole = channel + columns <= channels && filter + Rows <= work.Filters;
                for (var row = 0; row < Rows; row++)
                {
                    rows[row] = tables + (long)(filter + row) * Pitch(chunks);
                    targets[row] = whole ? target + row * ofFilter : edge + row * columns;
                }
                LookupBlock<TFloats, TVector>.Sum(rows, &words, 1, chunks, stride, targets, add: whole);
                if (!whole) AddEdge(edge, target, Math.Min(Rows, work.Filters - filter), Math.Min(columns, channels - channel), ofFilter);
            }
        }
    }

    /// <summary>Adds the part of a block that lies inside the target.</summary>
    private static void AddEdge(float* edge, float* target, int rows, int columns, long stride)
    {
        for (var row = 0; row < rows; row++)
        for (var column = 0; column < columns; column++)
            target[row * stride + column] += edge[row * LookupBlock<TFloats, TVector>.Columns + column];
    }

    private static void AddBackPadding(in Work work)
    {
        var shape = work.Shape;
        var sums = stackalloc float[FiltersOfTask];
        for (var tap = 0; tap < shape.Taps; tap++)
        {
            new Span<float>(sums, FiltersOfTask).Clear();
            if (!SumOverPadding(work, tap, sums)) continue;
            for (var filter = 0; filter < work.Filters; filter++)
            {
                var target = work.Target + ((long)filter * shape.Taps + tap) * shape.In;
                for (var channel = 0; channel < shape.In; channel++) target[channel] += sums[filter];
            }
        }
    }

    /// <summary>Sums dy over the pixels that meet padding at a tap.</summary>
    private static bool SumOverPadding(in Work work, int tap, float* sums)
    {
        var shape = work.Shape;
        int kernelRow = tap / shape.KernelWidth, kernelColumn = tap % shape.KernelWidth;
        var any = false;
        for (var y = 0; y < shape.OutHeight; y++)
        {
            var rowOutside = (uint)(y * shape.StrideY + kernelRow - shape.PadY) >= (uint)shape.Height;
            for (var x = 0; x < shape.OutWidth; x++)
            {
                if (!rowOutside && (uint)(x * shape.StrideX + kernelColumn - shape.PadX) < (uint)shape.Width) continue;
                any = true;
                AddPixel(work, y * shape.OutWidth + x, sums);
            }
        }
        return any;
    }

    /// <summary>Adds dy of a pixel of every image.</summary>
    private static void AddPixel(in Work work, int pixel, float* sums)
    {
        var ofImage = work.Shape.OutHeight * work.Shape.OutWidth;
        for (var image = 0; image < work.Shape.Batch; image++)
        {
            var dy = work.Gradient + ((long)image * ofImage + pixel) * work.Shape.Out + work.First;
            for (var filter = 0; filter < work.Filters; filter++) sums[filter] += dy[filter];
        }
    }
}
