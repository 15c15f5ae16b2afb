using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Real;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A pool of the largest values.</summary>
internal sealed class PreparedMaxPool(MaxPool layer, InstructionSet set) : PreparedLayer(layer)
{
    private readonly MaxPooling pooling = MaxPooling.For(set);

    /// <inheritdoc/>
    public override MapPlace Plan(PlanBuilder builder, MapPlace map, SignPlace? signs, SignPlace? next)
    {
        var (height, width, channels) = map.Size;
        var shape = new ConvolutionShape(
            1, height, width, channels, channels, layer.Kernel, layer.Kernel, layer.Stride, layer.Stride, layer.Padding, layer.Padding);
        var result = builder.TakeMap(map.Size.After(layer));
        builder.Steps.Add(new MaxPoolStep(pooling, shape, map, result, SignWriter.For(set, next), builder.Threads));
        builder.Release(map);
        return result;
    }

    /// <summary>There is nothing to free.</summary>
    public override void Dispose()
    {
    }
}
