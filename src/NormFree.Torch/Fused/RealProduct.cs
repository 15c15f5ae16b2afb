using NormFree.Kernels.Activations;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Binary input times real filters: libtorch's convolutions, in float32 or bfloat16.</summary>
internal sealed unsafe class RealProduct(BinaryInput input, LayerFilters filters, BinaryConvolutionOptions options) : IBinaryProduct
{
    private ScalarType Type => options.Precision == FusedPrecision.BFloat16 ? ScalarType.BFloat16 : ScalarType.Float32;

    /// <inheritdoc/>
    public void Forward(IProductReader reader)
    {
        using var scope = NewDisposeScope();
        var signs = input.Signs().to(Type);
        var result = nn.functional.conv2d(
            signs, filters.Real!.to(Type), strides: [options.Stride, options.Stride], padding: [options.Padding, options.Padding]);
        var values = ChannelsLast.Of(result.to(ScalarType.Float32));
        var source = TensorMemory.Floats(values);
        Pixels.ForEach(input.Shape.OutPixels, options.Out, (first, count) => reader.Take(first, count, source + (long)first * options.Out));
        GC.KeepAlive(values);
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
                Pixels = count, Gradient = source + offset, GradientStride = shape.In, Result = target + offset,
                Shortcut = shortcut + offset * shortcuts, Shortcuts = shortcuts,
            };
            input.Gradient(maps, first, ofShift.Of(task));
        });
        GC.KeepAlive(ofSigns);
        GC.KeepAlive(du);
        return (gradient.MoveToOuterDisposeScope(), ofShift.Total(0, [1, shape.In, 1, 1]).MoveToOuterDisposeScope());
    }
}
