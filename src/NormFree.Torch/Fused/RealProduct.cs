using NormFree.Kernels.Activations;
using NormFree.Kernels.Convolutions;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

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
        using (var words = input.UnfoldedChannelWords())
            BinaryInputConvolution.Best.Compute(shape, words.Pointer, TensorMemory.Floats(filters.Real!), values, TorchWorkers.Instance);
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
