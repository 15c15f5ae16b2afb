using System.Runtime.Intrinsics;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Convolutions;

/// <summary>Gradient of a convolution's input by fused multiply-adds of floats.</summary>
/// <remarks>
/// <para>dx[q][c] = Σ dy[p][o]·w[o][tap][c] over all output pixels p and taps at which p reads the input pixel q.</para>
/// <para>The rows of dy that a task needs are copied to a map with zeros around it, so that the inner loop needs no bounds checks. It multiplies one value of
/// eight pixels each by one vector of channels. The pixels of a block read dy at the same taps: with a stride, blocks take every other pixel.</para>
/// </remarks>
public abstract unsafe class InputGradient
{
    /// <summary>Target pixels are padded to a multiple of this many channels.</summary>
    public const int ChannelMultiple = 16;

    /// <summary>A task's part of dy should fit a core's second-level cache beside the filters.</summary>
    private const int BytesPerTask = 256 << 10;

    /// <summary>Pixels per block.</summary>
    private protected const int Block = 8;

    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static InputGradient For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new InputGradient<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new InputGradient<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new InputGradient<AdvSimdFloats, Vector128<float>>(),
        _ => new InputGradient<ScalarFloats, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static InputGradient Best { get; } = For(InstructionSets.Best);

    /// <summary>Floats of a target pixel: the input channels rounded up to <see cref="ChannelMultiple"/>.</summary>
    public static int TargetStride(in ConvolutionShape shape) => (shape.In + ChannelMultiple - 1) / ChannelMultiple * ChannelMultiple;

    /// <summary>Recommended target rows per task.</summary>
    public static int RowsPerTask(in ConvolutionShape shape)
    {
        var sourceRows = BytesPerTask / ((long)PaddedMap.Of(shape, 0, 1).Columns * shape.Out * sizeof(float));
        return (int)Math.Clamp((sourceRows - shape.KernelHeight) * shape.StrideY, 1, shape.Height);
    }

    /// <summary>Bytes of scratch that <see cref="Rows"/> takes for a number of rows.</summary>
    public static long ScratchBytes(in ConvolutionShape shape, int rows)
    {
        var map = PaddedMap.Of(shape, 0, rows + shape.StrideY);
        var pixels = (long)rows * shape.Width + Block;
        return (long)map.Rows * map.Columns * shape.Out * sizeof(float) + 2 * pixels * sizeof(nint) + 2 * shape.Taps * sizeof(nint)
            + TargetStride(shape) * sizeof(float) + 512;
    }

    /// <summary>Length of the filters as <see cref="Arrange"/> writes them.</summary>
    public static long ArrangedLength(in ConvolutionShape shape) => (long)shape.Out * shape.Taps * TargetStride(shape);

    /// <summary>Arranges filters in the order in which <see cref="Rows"/> reads them.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="filters">w, O × taps × C.</param>
    /// <param name="target"><see cref="ArrangedLength"/> values.</param>
    public abstract void Arrange(in ConvolutionShape shape, float* filters, float* target);

    /// <summary>Computes rows of one image's gradient.</summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="image">Index of the image in the batch.</param>
    /// <param name="firstRow">The first row of the input map.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="outputGradient">dy, output pixels × O, of the batch.</param>
    /// <param name="arranged">The filters from <see cref="Arrange"/> of the same implementation.</param>
    /// <param name="scratch">Holds at least <see cref="ScratchBytes"/>.</param>
    /// <param name="target">dx, rows × W × <see cref="TargetStride"/>; channels past the last are 0.</param>
    public abstract void Rows(
        in ConvolutionShape shape, int image, int firstRow, int rows, float* outputGradient, float* arranged, Scratch scratch, float* target);
}

/// <summary><see cref="InputGradient"/> for one instruction set. Filters are arranged as vectors of channels × taps × O × lanes.</summary>
internal sealed unsafe class InputGradient<TFloats, TVector> : InputGradient
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Arrange(in ConvolutionShape shape, float* filters, float* target)
    {
        var lanes = TFloats.Lanes;
        for (var channel = 0; channel < TargetStride(shape); channel += lanes)
            for (var tap = 0; tap < shape.Taps; tap++)
                for (var filter = 0; filter < shape.Out; filter++, target += lanes)
                {
                    var source = filters + ((nint)filter * shape.Taps + tap) * shape.In + channel;
                    var values = Math.Clamp(shape.In - channel, 0, lanes);
                    new ReadOnlySpan<float>(source, values).CopyTo(new Span<float>(target, values));
                    new Span<float>(target + values, lanes - values).Clear();
                }
    }

    /// <inheritdoc/>
    public override void Rows(
        in ConvolutionShape shape, int image, int firstRow, int rows, float* outputGradient, float* arranged, Scratch scratch, float* target)
    {
        if (rows == 0) return;
        var map = PaddedMap.Of(shape, firstRow, rows);
        var padded = scratch.Take<float>((long)map.Rows * map.Columns * shape.Out);
        map.Copy(shape, outputGradient + (nint)image * shape.OutHeight * shape.OutWidth * shape.Out, padded);
        var pixels = (long)rows * shape.Width + Block;
        var work = new Work(
            shape, map, padded, target, (float**)scratch.Take<nint>(pixels), (float**)scratch.Take<nint>(pixels),
            scratch.Take<nint>(shape.Taps), (float**)scratch.Take<nint>(shape.Taps), scratch.Take<float>(TargetStride(shape)));
        for (var phaseY = 0; phaseY < shape.StrideY; phaseY++)
            for (var phaseX = 0; phaseX < shape.StrideX; phaseX++)
            {
                var count = Collect(work, firstRow, rows, phaseY, phaseX);
                if (count > 0) Multiply(work, phaseY, phaseX, count, arranged);
            }
    }

    /// <summary>Multiplies the pixels of a phase, two vectors of channels at a time if the processor has registers for it.</summary>
    private static void Multiply(in Work work, int phaseY, int phaseX, int count, float* arranged)
    {
        nint next = (nint)work.Shape.Taps * work.Shape.Out * TFloats.Lanes;
        for (int channel = 0, vectors; channel < TargetStride(work.Shape); channel += vectors * TFloats.Lanes, arranged += vectors * next)
        {
            vectors = TFloats.Lanes == 16 && channel + 2 * TFloats.Lanes <= TargetStride(work.Shape) ? 2 : 1;
            var taps = SelectTaps(work, phaseY, phaseX, arranged);
            var block = new InputGradientBlock<TFloats, TVector>(work.Offsets, work.Weights, taps, work.Shape.Out);
            for (var pixel = 0; pixel < count; pixel += Block)
            {
                float** sources = work.Sources + pixel, targets = work.Targets + pixel;
                if (vectors == 2) block.TwoVectors(sources, next, targets, channel);
                else block.OneVector(sources, targets, channel);
            }
        }
    }

    /// <summary>The work of one task.</summary>
    private readonly struct Work(
        ConvolutionShape shape, PaddedMap map, float* padded, float* target, float** sources, float** targets, nint* offsets, float** weights, float* discarded)
    {
        public readonly ConvolutionShape Shape = shape;
        public readonly PaddedMap Map = map;
        public readonly float* Padded = padded;
        public readonly float* Target = target;

        /// <summary>Where each pixel of a phase reads dy at the phase's first tap.</summary>
        public readonly float** Sources = sources;

        /// <summary>Where each pixel of a phase is written.</summary>
        public readonly float** Targets = targets;

        /// <summary>For each tap of a phase, floats from what a pixel reads at the first tap to what it reads at this one.</summary>
        public readonly nint* Offsets = offsets;

        /// <summary>For each tap of a phase, its filters.</summary>
        public readonly float** Weights = weights;

        /// <summary>The target of pixels that fill up the last block.</summary>
        public readonly float* Discarded = discarded;
    }

    /// <summary>Lists the pixels with (y + pad) mod stride = phase in both directions: they read dy at the same taps. Returns their number.</summary>
    private static int Collect(in Work work, int firstRow, int rows, int phaseY, int phaseX)
    {
        var shape = work.Shape;
        var count = 0;
        for (var y = firstRow + First(firstRow + shape.PadY, shape.StrideY, phaseY); y < firstRow + rows; y += shape.StrideY)
        {
            var row = work.Padded + (nint)((y + shape.PadY) / shape.StrideY - work.Map.FirstRow) * work.Map.Columns * shape.Out;
            var target = work.Target + (nint)(y - firstRow) * shape.Width * TargetStride(shape);
            for (var x = First(shape.PadX, shape.StrideX, phaseX); x < shape.Width; x += shape.StrideX, count++)
            {
                work.Sources[count] = row + (nint)((x + shape.PadX) / shape.StrideX - work.Map.FirstColumn) * shape.Out;
                work.Targets[count] = target + (nint)x * TargetStride(shape);
            }
        }
        for (var extra = count; count > 0 && extra < count + Block; extra++)
        {
            work.Sources[extra] = work.Sources[0];
            work.Targets[extra] = work.Discarded;
        }
        return count;
    }

    /// <summary>Steps from <paramref name="value"/> to the next number that is <paramref name="phase"/> modulo the stride.</summary>
    private static int First(int value, int stride, int phase) => (phase - value % stride + stride) % stride;

    private static int SelectTaps(in Work work, int phaseY, int phaseX, float* vector)
    {
        var shape = work.Shape;
        var taps = 0;
        for (var row = phaseY; row < shape.KernelHeight; row += shape.StrideY)
            for (var column = phaseX; column < shape.KernelWidth; column += shape.StrideX, taps++)
            {
                work.Offsets[taps] = -((nint)(row / shape.StrideY) * work.Map.Columns + column / shape.StrideX) * shape.Out;
                work.Weights[taps] = vector + (nint)(row * shape.KernelWidth + column) * shape.Out * TFloats.Lanes;
            }
        return taps;
    }
}
