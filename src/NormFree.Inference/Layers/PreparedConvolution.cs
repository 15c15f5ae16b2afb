using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Real;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A convolution of real numbers.</summary>
internal sealed class PreparedConvolution : PreparedLayer
{
    private readonly InstructionSet set;

    public unsafe PreparedConvolution(RealConvolution layer, InstructionSet set) : base(layer)
    {
        this.set = set;
        var shape = new ConvolutionShape(
            1, layer.Kernel, layer.Kernel, layer.In, layer.Out, layer.Kernel, layer.Kernel, layer.Stride, layer.Stride, layer.Padding, layer.Padding);
        fixed (float* weights = layer.Weights, bias = layer.Bias) Filters = RealFilters.Create(set, shape, weights, bias);
    }

    /// <summary>The filters.</summary>
    public RealFilters Filters { get; }

    /// <inheritdoc/>
    public override MapPlace Plan(PlanBuilder builder, MapPlace map, SignPlace? signs, SignPlace? next)
    {
        var result = builder.TakeMap(map.Size.After(Model));
        builder.Steps.Add(new ConvolutionStep(Filters, map, result, SignWriter.For(set, next), builder.Threads));
        builder.Release(map);
        return result;
    }

    /// <inheritdoc/>
    public override void Dispose() => Filters.Dispose();
}
