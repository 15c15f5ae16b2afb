using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;

namespace NormFree.Torch.Fused;

/// <summary>The gradient of a convolution's binary input, computed in bands of rows.</summary>
internal abstract unsafe class SignGradientProduct : IDisposable
{
    /// <summary>Recommended rows per task.</summary>
    public abstract int RowsPerTask { get; }

    /// <summary>Floats from one pixel of the result to the next.</summary>
    public abstract int Stride { get; }

    /// <summary>Bytes of scratch that <see cref="Rows"/> takes for a number of rows.</summary>
    public abstract long ScratchBytes(int rows);

    /// <summary>Computes rows of one image's gradient, rows × W × <see cref="Stride"/>, from the gradient of the convolution's result.</summary>
    public abstract void Rows(int image, int row, int rows, float* du, Scratch scratch, float* target);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>By table lookups: for binary filters.</summary>
internal sealed unsafe class SignGradientByLookups(ConvolutionShape shape, LayerFilters filters) : SignGradientProduct
{
    private readonly ConvolutionGeometry geometry = new(shape, Transposed: true);
    private readonly NativeBuffer<uint> signs = filters.SignsByChannel();

    /// <inheritdoc/>
    public override int RowsPerTask => BinaryWeightConvolution.RowsPerTask(geometry);

    /// <inheritdoc/>
    public override int Stride => BinaryWeightConvolution.TargetStride(geometry);

    /// <inheritdoc/>
    public override long ScratchBytes(int rows) => BinaryWeightConvolution.ScratchBytes(geometry, rows);

    /// <inheritdoc/>
    public override void Rows(int image, int row, int rows, float* du, Scratch scratch, float* target) =>
        BinaryWeightConvolution.Best.Rows(geometry, image, row, rows, du, filters.Scale!.Pointer, signs.Pointer, scratch, target);

    /// <inheritdoc/>
    public override void Dispose() => signs.Dispose();
}

/// <summary>By multiply-adds of floats: for few channels.</summary>
internal sealed unsafe class SignGradientByMultiplication : SignGradientProduct
{
    private readonly ConvolutionShape shape;
    private readonly NativeBuffer<float> arranged;

    /// <summary>
    /// Whether this is faster than the alternatives, measured with AVX2 and AVX-512. Lookups work on 64 channels at a time, and the tables of an output
    /// gradient cost more than few channels save. libtorch's convolutions of real filters are faster from 64 channels on.
    /// </summary>
    public static bool IsFastest(in ConvolutionShape shape) => shape.In <= 32;

    /// <summary>Arranges the filters.</summary>
    public SignGradientByMultiplication(ConvolutionShape shape, LayerFilters filters)
    {
        this.shape = shape;
        arranged = new NativeBuffer<float>(InputGradient.ArrangedLength(shape));
        using var floats = filters.Floats();
        InputGradient.Best.Arrange(shape, floats.Pointer, arranged.Pointer);
    }

    /// <inheritdoc/>
    public override int RowsPerTask => InputGradient.RowsPerTask(shape);

    /// <inheritdoc/>
    public override int Stride => InputGradient.TargetStride(shape);

    /// <inheritdoc/>
    public override long ScratchBytes(int rows) => InputGradient.ScratchBytes(shape, rows);

    /// <inheritdoc/>
    public override void Rows(int image, int row, int rows, float* du, Scratch scratch, float* target) =>
        InputGradient.Best.Rows(shape, image, row, rows, du, arranged.Pointer, scratch, target);

    /// <inheritdoc/>
    public override void Dispose() => arranged.Dispose();
}
