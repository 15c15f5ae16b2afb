using NormFree.Kernels.Activations;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Binary input times binary filters: XNOR and popcount forward, table lookups backward.</summary>
internal sealed unsafe class SignedProduct(BinaryInput input, LayerFilters filters) : IBinaryProduct
{
    /// <summary>Results of a task, in values: they stay in cache until they are read.</summary>
    private const int ValuesOfTask = 32 << 10;

    private readonly ConvolutionShape shape = input.Shape;

    /// <inheritdoc/>
    public void Forward(IProductReader reader)
    {
        using var prepared = PreparedFilters.From(shape, filters.Signs!.Pointer);
        var bands = new RowBands(shape.Batch, shape.OutHeight, Math.Max(1, ValuesOfTask / (shape.OutWidth * shape.Out)));
        TorchWorkers.Instance.Run(bands.Count, task =>
        {
            var (image, row, rows) = bands[task];
            var pixels = rows * shape.OutWidth;
            var values = (long)pixels * shape.Out;
            var scratch = Scratch.OfThread(XnorConvolution.ScratchBytes(shape) + values * sizeof(int) + 64);
            var counts = scratch.Take<int>(values);
            XnorConvolution.Best.Compute(shape, image, OutputRange.Rows(shape, row, rows), input.Bits.Pointer, prepared, scratch, counts);
            reader.Take(((long)image * shape.OutHeight + row) * shape.OutWidth, pixels, counts, filters.Scale!.Pointer);
        });
    }

    /// <inheritdoc/>
    public (Tensor OfInput, Tensor OfShift) InputGradient(Tensor du, int shortcuts)
    {
        var map = new PixelMap(shape, Transposed: true);
        var bands = new RowBands(shape.Batch, map.TargetHeight, SignFilterProduct.RowsOfTask(map));
        var stride = SignFilterProduct.TargetStride(map);
        var gradient = ChannelsLast.Empty(shape.Batch, shape.In, shape.Height, shape.Width);
        float* source = TensorMemory.Floats(du), target = TensorMemory.Floats(gradient);
        using var signs = filters.SignsByChannel();
        using var ofShift = new PartialSums(bands.Count, shape.In);
        TorchWorkers.Instance.Run(bands.Count, task =>
        {
            var (image, row, rows) = bands[task];
            var pixels = rows * shape.Width;
            var ofSigns = (long)pixels * stride;
            var scratch = Scratch.OfThread(SignFilterProduct.ScratchBytes(map, rows) + ofSigns * sizeof(float) + 64);
            var signGradient = scratch.Take<float>(ofSigns);
            SignFilterProduct.Best.Rows(map, image, row, rows, source, filters.Scale!.Pointer, signs.Pointer, scratch, signGradient);
            var first = ((long)image * shape.Height + row) * shape.Width;
            var maps = new SignGradientMaps
            {
                Pixels = pixels,
                Gradient = signGradient,
                GradientStride = stride,
                Result = target + first * shape.In,
                Shortcut = source + first * shortcuts * shape.In,
                Shortcuts = shortcuts,
            };
            input.Gradient(maps, first, ofShift.Of(task));
        });
        GC.KeepAlive(du);
        return (gradient, ofShift.Total(0, [1, shape.In, 1, 1]));
    }
}

/// <summary>The product of a binary input with filters, real or binary.</summary>
internal interface IBinaryProduct
{
    /// <summary>Computes the convolution and hands it to who goes on with it.</summary>
    void Forward(IProductReader reader);

    /// <summary>The gradient of x, and of the shift before the sign.</summary>
    /// <param name="du">The gradient of the convolution's result, channels-last.</param>
    /// <param name="shortcuts">How often x is in a shortcut whose gradient is also <paramref name="du"/>; 0 where it is not.</param>
    (Tensor OfInput, Tensor OfShift) InputGradient(Tensor du, int shortcuts);
}

/// <summary>Goes on with the result of a convolution while it is in the processor's cache.</summary>
internal unsafe interface IProductReader
{
    /// <summary>Takes pixels of a convolution of signs with signs.</summary>
    /// <param name="firstPixel">Number of the first pixel in the batch.</param>
    /// <param name="pixels">How many.</param>
    /// <param name="counts">Exact sums, pixels × channels.</param>
    /// <param name="scale">One factor a channel.</param>
    void Take(long firstPixel, int pixels, int* counts, float* scale);

    /// <summary>Takes pixels of a convolution with real filters.</summary>
    /// <param name="firstPixel">Number of the first pixel in the batch.</param>
    /// <param name="pixels">How many.</param>
    /// <param name="values">pixels × channels.</param>
    void Take(long firstPixel, int pixels, float* values);
}

/// <summary>Binary input times real filters: table lookups forward; the input's gradient is libtorch's, in float32 or bfloat16.</summary>
internal sealed unsafe class RealProduct(BinaryInput input, LayerFilters filters, BinaryConvolutionOptions options) : IBinaryProduct
{
    private ScalarType Type => options.Precision == FusedPrecision.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;

    /// <inheritdoc/>
    public void Forward(IProductReader reader)
    {
        var shape = input.Shape;
        using var result = ChannelsLast.Empty(shape.Batch, shape.Out, shape.OutHeight, shape.OutWidth);
        var values = TensorMemory.Floats(result);
        using (var words = input.TapWords())
            SignMapProduct.Best.Compute(shape, words.Pointer, TensorMemory.Floats(filters.Real!), values, TorchWorkers.Instance);
        Pixels.ForEach(shape.OutPixels, shape.Out, (first, count) => reader.Take(first, count, values + (long)first * shape.Out));
        GC.KeepAlive(result);
    }

    /// <inheritdoc/>
    public (Tensor OfInput, Tensor OfShift) InputGradient(Tensor du, int shortcuts)
    {
        var shape = input.Shape;
        using var scope = NewDisposeScope();
        var ofSigns = ChannelsLast.Of(ConvolutionBackward.OfInput(
            du.to(Type), [shape.Batch, shape.In, shape.Height, shape.Width], filters.Real!.to(Type), options.Stride, options.Padding).to(ScalarType.Float32));
        var gradient = ChannelsLast.Empty(shape.Batch, shape.In, shape.Height, shape.Width);
        float* source = TensorMemory.Floats(ofSigns), shortcut = TensorMemory.Floats(du), target = TensorMemory.Floats(gradient);
        using var ofShift = new PartialSums(Pixels.Tasks(shape.InPixels, shape.In), shape.In);
        Pixels.ForEach(shape.InPixels, shape.In, (task, first, count) =>
        {
            var offset = (long)first * shape.In;
            var maps = new SignGradientMaps
            {
                Pixels = count,
                Gradient = source + offset,
                GradientStride = shape.In,
                Result = target + offset,
                Shortcut = shortcut + offset * shortcuts,
                Shortcuts = shortcuts,
            };
            input.Gradient(maps, first, ofShift.Of(task));
        });
        GC.KeepAlive(ofSigns);
        GC.KeepAlive(du);
        return (gradient.MoveToOuterDisposeScope(), ofShift.Total(0, [1, shape.In, 1, 1]).MoveToOuterDisposeScope());
    }
}
