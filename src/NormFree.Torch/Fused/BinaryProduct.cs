using NormFree.Kernels.Activations;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The convolution of a binary input with real or binary filters.</summary>
internal interface IBinaryProduct
{
    /// <summary>Computes the convolution and passes it to <paramref name="consumer"/> piece by piece.</summary>
    void Forward(IConvolutionConsumer consumer);

    /// <summary>The gradients of x and of the shift before the sign.</summary>
    /// <param name="du">The gradient of the convolution's result, channels-last.</param>
    /// <param name="shortcuts">How many times x is repeated as the shortcut, whose gradient is also <paramref name="du"/>; 0 if x is not the shortcut.</param>
    (Tensor OfInput, Tensor OfShift) InputGradient(Tensor du, int shortcuts);
}

/// <summary>Consumes the result of a convolution while it is in the processor's cache.</summary>
internal unsafe interface IConvolutionConsumer
{
    /// <summary>Consumes pixels of a sign × sign convolution.</summary>
    /// <param name="firstPixel">Index of the first pixel in the batch.</param>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="counts">Exact integer results, pixels × channels.</param>
    /// <param name="scale">One factor per channel.</param>
    void Apply(long firstPixel, int pixels, int* counts, float* scale);

    /// <summary>Consumes pixels of a convolution with real filters.</summary>
    /// <param name="firstPixel">Index of the first pixel in the batch.</param>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="values">Results, pixels × channels.</param>
    void Apply(long firstPixel, int pixels, float* values);
}

/// <summary>Binary input × binary filters: XNOR and popcount forward, table lookups or multiply-adds backward.</summary>
internal sealed unsafe class SignedProduct(BinaryInput input, LayerFilters filters) : IBinaryProduct
{
    /// <summary>Result values per task; they stay in cache until the consumer reads them.</summary>
    private const int ValuesPerTask = 32 << 10;

    private readonly ConvolutionShape shape = input.Shape;

    /// <inheritdoc/>
    public void Forward(IConvolutionConsumer consumer)
    {
        using var prepared = XnorFilters.Create(shape, filters.Signs!.Pointer);
        var bands = new RowBands(shape.Batch, shape.OutHeight, Math.Max(1, ValuesPerTask / (shape.OutWidth * shape.Out)));
        TorchWorkers.Instance.Run(bands.Count, task =>
        {
            var (image, row, rows) = bands[task];
            var pixels = rows * shape.OutWidth;
            var values = (long)pixels * shape.Out;
            var scratch = Scratch.OfThread(XnorConvolution.ScratchBytes(shape) + values * sizeof(int) + 64);
            var counts = scratch.Take<int>(values);
            XnorConvolution.Best.Compute(shape, image, OutputRange.Rows(shape, row, rows), input.Bits.Pointer, prepared, scratch, counts);
            consumer.Apply(((long)image * shape.OutHeight + row) * shape.OutWidth, pixels, counts, filters.Scale!.Pointer);
        });
    }

    /// <inheritdoc/>
    public (Tensor OfInput, Tensor OfShift) InputGradient(Tensor du, int shortcuts)
    {
        using SignGradientProduct gradient = SignGradientByMultiplication.IsFastest(shape)
            ? new SignGradientByMultiplication(shape, filters)
            : new SignGradientByLookups(shape, filters);
        return input.Gradient(gradient, du, shortcuts);
    }
}

/// <summary>Binary input × real filters: table lookups forward. libtorch computes the input's gradient in bfloat16, and in float32 of many channels.</summary>
internal sealed unsafe class RealProduct(BinaryInput input, LayerFilters filters, BinaryConvolutionOptions options) : IBinaryProduct
{
    private ScalarType Type => options.Precision == FusedPrecision.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;

    /// <inheritdoc/>
    public void Forward(IConvolutionConsumer consumer)
    {
        var shape = input.Shape;
        using var result = ChannelsLast.Empty(shape.Batch, shape.Out, shape.OutHeight, shape.OutWidth);
        var values = TensorMemory.Floats(result);
        using (var words = input.UnfoldedChannelWords())
            BinaryInputConvolution.Best.Compute(shape, words.Pointer, TensorMemory.Floats(filters.Real!), values, TorchWorkers.Instance);
        Pixels.ForEach(shape.OutPixels, shape.Out, (first, count) => consumer.Apply(first, count, values + (long)first * shape.Out));
        GC.KeepAlive(result);
    }

    /// <inheritdoc/>
    public (Tensor OfInput, Tensor OfShift) InputGradient(Tensor du, int shortcuts)
    {
        var shape = input.Shape;
        if (options.Precision == FusedPrecision.Float32 && SignGradientByMultiplication.IsFastest(shape))
        {
            using var product = new SignGradientByMultiplication(shape, filters);
            return input.Gradient(product, du, shortcuts);
        }
        using var scope = NewDisposeScope();
        var ofSigns = ChannelsLast.Of(ConvolutionBackward.OfInput(
            du.to(Type), [shape.Batch, shape.In, shape.Height, shape.Width], filters.Real!.to(Type), options.Stride, options.Padding).to(ScalarType.Float32));
        var gradient = ChannelsLast.Empty(shape.Batch, shape.In, shape.Height, shape.Width);
        float* source = TensorMemory.Floats(ofSigns), shortcut = TensorMemory.Floats(du), target = TensorMemory.Floats(gradient);
        using var ofShift = new PartialSums(Pixels.Tasks(shape.InPixels, shape.In), shape.In);
        Pixels.ForEach(shape.InPixels, shape.In, (task, first, count) =>
        {
            var offset = (long)first * shape.In;
            var maps = new SignBackwardMaps
            {
                Pixels = count,
                Gradient = source + offset,
                GradientStride = shape.In,
                Result = target + offset,
                ShortcutGradient = shortcut + offset * shortcuts,
                ShortcutRepeats = shortcuts,
            };
            input.Gradient(maps, first, ofShift.Of(task));
        });
        GC.KeepAlive(ofSigns);
        GC.KeepAlive(du);
        return (gradient.MoveToOuterDisposeScope(), ofShift.Total(0, [1, shape.In, 1, 1]).MoveToOuterDisposeScope());
    }
}
