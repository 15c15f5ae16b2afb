using System.Runtime.CompilerServices;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary>A float convolution in groups, such as a depthwise one, for one instruction set. Sources are channels-last.</summary>
/// <remarks>
/// Vectors hold consecutive filters: of one group, which share their input value, or of a depthwise convolution, which read consecutive channels. Filters
/// that fill no vector are computed one by one. Weights are stored as (C/groups) × taps × O.
/// </remarks>
internal sealed unsafe class GroupedFilters<TFloats, TVector> : RealFilters
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private readonly int inputsPerGroup;
    private readonly int filtersPerGroup;
    private readonly NativeBuffer<float> weights;
    private readonly NativeBuffer<float> bias;

    public GroupedFilters(in ConvolutionShape shape, int groups, float* weights, float* bias) : base(shape)
    {
        (inputsPerGroup, filtersPerGroup) = (shape.In / groups, shape.Out / groups);
        var perFilter = inputsPerGroup * shape.Taps;
        this.weights = new NativeBuffer<float>((long)perFilter * shape.Out);
        for (var filter = 0; filter < shape.Out; filter++)
            for (var i = 0; i < perFilter; i++) this.weights.Pointer[(long)i * shape.Out + filter] = weights[(long)filter * perFilter + i];
        this.bias = new NativeBuffer<float>(shape.Out);
        new Span<float>(bias, shape.Out).CopyTo(new Span<float>(this.bias.Pointer, shape.Out));
    }

    /// <summary>0: the result is computed in place.</summary>
    public override long ScratchBytes(int width, int rows) => 0;

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The source is not channels-last.</exception>
    public override void Rows(in RealMap source, int firstRow, int rows, Scratch scratch, float* result)
    {
        if (source.ChannelStep != 1) throw new ArgumentException("The source is not channels-last.", nameof(source));
        var width = (Shape with { Width = source.Width }).OutWidth;
        for (var y = firstRow; y < firstRow + rows; y++)
            for (var x = 0; x < width; x++, result += Shape.Out)
                Pixel(Window.Of(Shape, source, y, x), result);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        weights.Dispose();
        bias.Dispose();
    }

    private void Pixel(in Window window, float* result)
    {
        if (filtersPerGroup == 1 && inputsPerGroup == 1)
        {
            Range(window, 0, Shape.Out, result);
            return;
        }
        for (var first = 0; first < Shape.Out; first += filtersPerGroup) Range(window, first, filtersPerGroup, result);
    }

    /// <summary>Computes a range of filters: those of a group, or all of a depthwise convolution.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Range(in Window window, int first, int count, float* result)
    {
        var filter = first;
        for (; filter + TFloats.Lanes <= first + count; filter += TFloats.Lanes)
        {
            var sum = TFloats.Load(bias.Pointer + filter);
            for (var channel = 0; channel < inputsPerGroup; channel++)
            {
                var values = window.Values + filter / filtersPerGroup * inputsPerGroup + channel;
                var weight = weights.Pointer + ((nint)channel * Shape.Taps + window.FirstTap) * Shape.Out + filter;
                for (var row = 0; row < window.Rows; row++)
                    for (var column = 0; column < window.Columns; column++)
                    {
                        var at = values + row * window.RowStep + (nint)column * Shape.In;
                        var value = filtersPerGroup == 1 ? TFloats.Load(at) : TFloats.Broadcast(*at);
                        sum = TFloats.MultiplyAdd(value, TFloats.Load(weight + ((nint)row * Shape.KernelWidth + column) * Shape.Out), sum);
                    }
            }
            TFloats.Store(sum, result + filter);
        }
        for (; filter < first + count; filter++) result[filter] = Filter(window, filter);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private float Filter(in Window window, int filter)
    {
        var sum = bias.Pointer[filter];
        for (var channel = 0; channel < inputsPerGroup; channel++)
        {
            var values = window.Values + filter / filtersPerGroup * inputsPerGroup + channel;
            var weight = weights.Pointer + ((nint)channel * Shape.Taps + window.FirstTap) * Shape.Out + filter;
            for (var row = 0; row < window.Rows; row++)
                for (var column = 0; column < window.Columns; column++)
                    sum += values[row * window.RowStep + (nint)column * Shape.In] * weight[((nint)row * Shape.KernelWidth + column) * Shape.Out];
        }
        return sum;
    }

    /// <summary>The part of a pixel's window that is inside the map.</summary>
    /// <param name="values">Its first pixel.</param>
    /// <param name="rowStep">Floats from one row to the next.</param>
    /// <param name="firstTap">The tap of its first pixel.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="columns">Its columns.</param>
    private readonly struct Window(float* values, nint rowStep, int firstTap, int rows, int columns)
    {
        public readonly float* Values = values;
        public readonly nint RowStep = rowStep;
        public readonly int FirstTap = firstTap;
        public readonly int Rows = rows;
        public readonly int Columns = columns;

        public static Window Of(in ConvolutionShape shape, in RealMap source, int y, int x)
        {
            int top = y * shape.StrideY - shape.PadY, left = x * shape.StrideX - shape.PadX;
            int firstRow = Math.Max(0, top), firstColumn = Math.Max(0, left);
            return new Window(
                source.At(firstRow, firstColumn, 0), (nint)source.Width * source.PixelStep, (firstRow - top) * shape.KernelWidth + firstColumn - left,
                Math.Min(source.Height, top + shape.KernelHeight) - firstRow, Math.Min(source.Width, left + shape.KernelWidth) - firstColumn);
        }
    }
}
