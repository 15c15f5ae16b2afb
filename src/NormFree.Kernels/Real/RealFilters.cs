using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary>A float convolution with its filters, prepared for an instruction set.</summary>
/// <remarks>
/// <para>result[y][x][o] = bias[o] + Σ_c Σ_tap weight[o][c][tap]·source[c][q(y, x, tap)]; outside the map the source is 0. The order of the sum does not
/// depend on which part of the map is computed.</para>
/// <para>Instances are thread-safe.</para>
/// </remarks>
public abstract unsafe class RealFilters : IDisposable
{
    private protected RealFilters(in ConvolutionShape shape) => Shape = shape;

    /// <summary>Copies the weights into blocks of filters.</summary>
    /// <param name="set">The instruction set.</param>
    /// <param name="shape">Sizes of the convolution; batch, height and width are ignored.</param>
    /// <param name="weights">O × C/groups × rows × columns.</param>
    /// <param name="bias">One per filter.</param>
    /// <param name="groups">
    /// Filters and input channels are divided into this many groups of consecutive ones; a filter reads the channels of its group. More than one requires
    /// channels-last sources.
    /// </param>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static RealFilters Create(InstructionSet set, in ConvolutionShape shape, float* weights, float* bias, int groups = 1) =>
        InstructionSets.Require(set) switch
        {
            InstructionSet.Avx512 => Create<Avx512Floats, Vector512<float>>(shape, weights, bias, groups),
            InstructionSet.Avx2 => Create<Avx2Floats, Vector256<float>>(shape, weights, bias, groups),
            InstructionSet.AdvSimd => Create<AdvSimdFloats, Vector128<float>>(shape, weights, bias, groups),
            _ => Create<ScalarFloats, float>(shape, weights, bias, groups),
        };

    /// <summary>Sizes of the convolution; batch, height and width are ignored.</summary>
    public ConvolutionShape Shape { get; }

    /// <summary>Bytes of scratch that <see cref="Rows"/> takes for a number of rows of a map of the given width.</summary>
    public abstract long ScratchBytes(int width, int rows);

    /// <summary>Computes rows of the result.</summary>
    /// <param name="source">The whole source map.</param>
    /// <param name="firstRow">The first row of the result.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="scratch">Holds at least <see cref="ScratchBytes"/>.</param>
    /// <param name="result">The first of these rows, rows × W' × O.</param>
    public abstract void Rows(in RealMap source, int firstRow, int rows, Scratch scratch, float* result);

    /// <inheritdoc/>
    public abstract void Dispose();

    private static RealFilters Create<TFloats, TVector>(in ConvolutionShape shape, float* weights, float* bias, int groups)
        where TFloats : struct, IFloatVectors<TVector>
        where TVector : unmanaged => groups == 1
        ? new RealFilters<TFloats, TVector>(shape, weights, bias)
        : new GroupedFilters<TFloats, TVector>(shape, groups, weights, bias);
}

/// <summary>A view of a float image or map in memory that the caller owns, planar or channels-last.</summary>
/// <param name="Values">Address of the first channel of the first pixel.</param>
/// <param name="Height">Number of rows.</param>
/// <param name="Width">Number of columns; rows are contiguous.</param>
/// <param name="PixelStep">Floats from one pixel to the next.</param>
/// <param name="ChannelStep">Floats from one channel to the next.</param>
public readonly unsafe record struct RealMap(nint Values, int Height, int Width, int PixelStep, int ChannelStep)
{
    /// <summary>Channel by channel (C×H×W), the format of input images.</summary>
    public static RealMap Planar(float* values, int height, int width) => new((nint)values, height, width, 1, height * width);

    /// <summary>Pixel by pixel (H×W×C).</summary>
    public static RealMap ChannelsLast(float* values, int height, int width, int channels) => new((nint)values, height, width, channels, 1);

    /// <summary>Address of a value.</summary>
    public float* At(int y, int x, int channel) => (float*)Values + ((nint)y * Width + x) * PixelStep + (nint)channel * ChannelStep;
}

/// <summary><see cref="RealFilters"/> for one instruction set: the sums of six pixels × two vectors of filters stay in registers.</summary>
/// <remarks>
/// Twelve sums hide the latency of multiply-add and leave room for two vectors of weights and one value in sixteen registers. A call first copies the rows
/// that it reads into planes padded with zeros, so that the inner loop needs no bounds checks.
/// </remarks>
internal sealed unsafe class RealFilters<TFloats, TVector> : RealFilters
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private const int Pixels = 6;

    private readonly NativeBuffer<float> weights;
    private readonly NativeBuffer<float> bias;

    public RealFilters(in ConvolutionShape shape, float* weights, float* bias) : base(shape)
    {
        var taps = Taps;
        this.weights = new NativeBuffer<float>((long)Blocks * taps * Columns).Cleared();
        this.bias = new NativeBuffer<float>(Blocks * Columns).Cleared();
        for (var filter = 0; filter < shape.Out; filter++)
        {
            this.bias.Pointer[filter] = bias[filter];
            var target = this.weights.Pointer + (long)(filter / Columns) * taps * Columns + filter % Columns;
            for (var tap = 0; tap < taps; tap++) target[(long)tap * Columns] = weights[(long)filter * taps + tap];
        }
    }

    /// <summary>Filters per block.</summary>
    private static int Columns
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 2 * TFloats.Lanes;
    }

    private int Blocks => (Shape.Out + Columns - 1) / Columns;

    /// <summary>Weights per filter.</summary>
    private int Taps => Shape.In * Shape.Taps;

    /// <inheritdoc/>
    public override long ScratchBytes(int width, int rows) =>
        ((long)Shape.In * WindowRows(rows) * WindowWidth(width) + Pixels * Columns) * sizeof(float) + Taps * sizeof(int) + 192;

    /// <inheritdoc/>
    public override void Rows(in RealMap source, int firstRow, int rows, Scratch scratch, float* result)
    {
        var (windowRows, windowWidth) = (WindowRows(rows), WindowWidth(source.Width));
        var window = scratch.Take<float>((long)Shape.In * windowRows * windowWidth);
        CopyWindow(source, firstRow * Shape.StrideY - Shape.PadY, windowRows, windowWidth, window);
        var offsets = Offsets(windowRows, windowWidth, scratch);
        var partialTile = scratch.Take<float>(Pixels * Columns);
        var width = OutWidth(source.Width);
        for (var row = 0; row < rows; row++, window += (nint)Shape.StrideY * windowWidth)
            for (var x = 0; x < width; x += Pixels)
                Tiles(window + (nint)x * Shape.StrideX, offsets, Math.Min(Pixels, width - x), partialTile, result + ((nint)row * width + x) * Shape.Out);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        weights.Dispose();
        bias.Dispose();
    }

    private int OutWidth(int width) => (Shape with { Width = width }).OutWidth;

    private int WindowRows(int rows) => (rows - 1) * Shape.StrideY + Shape.KernelHeight;

    /// <summary>Columns that the last tile reads, including the pixels that pad it.</summary>
    private int WindowWidth(int width)
    {
        var pixels = (OutWidth(width) + Pixels - 1) / Pixels * Pixels;
        return Math.Max((pixels - 1) * Shape.StrideX + Shape.KernelWidth, width + Shape.PadX);
    }

    /// <summary>Offset of each weight's value from the first value of a window.</summary>
    private int* Offsets(int windowRows, int windowWidth, Scratch scratch)
    {
        var offsets = scratch.Take<int>(Taps);
        var next = offsets;
        for (var channel = 0; channel < Shape.In; channel++)
            for (var row = 0; row < Shape.KernelHeight; row++)
                for (var column = 0; column < Shape.KernelWidth; column++) *next++ = (channel * windowRows + row) * windowWidth + column;
        return offsets;
    }

    private void CopyWindow(in RealMap source, int firstRow, int rows, int windowWidth, float* window)
    {
        for (var channel = 0; channel < Shape.In; channel++)
            for (var row = firstRow; row < firstRow + rows; row++, window += windowWidth)
            {
                NativeMemory.Clear(window, (nuint)windowWidth * sizeof(float));
                if ((uint)row >= (uint)source.Height) continue;
                var from = source.At(row, 0, channel);
                var to = window + Shape.PadX;
                if (source.PixelStep == 1) NativeMemory.Copy(from, to, (nuint)source.Width * sizeof(float));
                else
                    for (var x = 0; x < source.Width; x++) to[x] = from[(nint)x * source.PixelStep];
            }
    }

    /// <summary>Computes all filters of up to six pixels; incomplete tiles go through <paramref name="partialTile"/>.</summary>
    private void Tiles(float* source, int* offsets, int pixels, float* partialTile, float* result)
    {
        float* block = weights.Pointer, sums = bias.Pointer;
        for (var first = 0; first < Shape.Out; first += Columns, block += (long)Taps * Columns, sums += Columns)
        {
            var filters = Math.Min(Columns, Shape.Out - first);
            if (pixels == Pixels && filters == Columns)
            {
                Tile(source, Shape.StrideX, offsets, Taps, block, sums, result + first, Shape.Out);
                continue;
            }
            Tile(source, Shape.StrideX, offsets, Taps, block, sums, partialTile, Columns);
            for (var pixel = 0; pixel < pixels; pixel++)
                NativeMemory.Copy(partialTile + pixel * Columns, result + (nint)pixel * Shape.Out + first, (nuint)filters * sizeof(float));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Tile(float* source, nint step, int* offsets, int taps, float* weights, float* bias, float* target, nint targetStep)
    {
        TVector a0 = TFloats.Load(bias), a1 = TFloats.Load(bias + TFloats.Lanes);
        TVector b0 = a0, b1 = a1, c0 = a0, c1 = a1, d0 = a0, d1 = a1, e0 = a0, e1 = a1, f0 = a0, f1 = a1;
        for (var end = offsets + taps; offsets < end; offsets++, weights += Columns)
        {
            TVector w0 = TFloats.Load(weights), w1 = TFloats.Load(weights + TFloats.Lanes);
            float* left = source + *offsets, right = left + 3 * step;
            var value = TFloats.Broadcast(*left);
            (a0, a1) = (TFloats.MultiplyAdd(value, w0, a0), TFloats.MultiplyAdd(value, w1, a1));
            value = TFloats.Broadcast(left[step]);
            (b0, b1) = (TFloats.MultiplyAdd(value, w0, b0), TFloats.MultiplyAdd(value, w1, b1));
            value = TFloats.Broadcast(left[2 * step]);
            (c0, c1) = (TFloats.MultiplyAdd(value, w0, c0), TFloats.MultiplyAdd(value, w1, c1));
            value = TFloats.Broadcast(*right);
            (d0, d1) = (TFloats.MultiplyAdd(value, w0, d0), TFloats.MultiplyAdd(value, w1, d1));
            value = TFloats.Broadcast(right[step]);
            (e0, e1) = (TFloats.MultiplyAdd(value, w0, e0), TFloats.MultiplyAdd(value, w1, e1));
            value = TFloats.Broadcast(right[2 * step]);
            (f0, f1) = (TFloats.MultiplyAdd(value, w0, f0), TFloats.MultiplyAdd(value, w1, f1));
        }
        Store(a0, a1, target);
        Store(b0, b1, target + targetStep);
        Store(c0, c1, target + 2 * targetStep);
        Store(d0, d1, target + 3 * targetStep);
        Store(e0, e1, target + 4 * targetStep);
        Store(f0, f1, target + 5 * targetStep);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(TVector low, TVector high, float* target)
    {
        TFloats.Store(low, target);
        TFloats.Store(high, target + TFloats.Lanes);
    }
}
