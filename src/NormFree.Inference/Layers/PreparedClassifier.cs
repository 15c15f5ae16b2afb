using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Kernels.Real;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>The last layer.</summary>
internal sealed class PreparedClassifier : PreparedLayer
{
    private readonly PooledClassifier kernel;

    public unsafe PreparedClassifier(Classifier layer, InstructionSet set) : base(layer)
    {
        fixed (float* weights = layer.Weights, bias = layer.Bias) kernel = PooledClassifier.Create(set, layer.In, layer.Classes, weights, bias);
    }

    /// <inheritdoc/>
    public override MapPlace Plan(PlanBuilder builder, MapPlace map, SignPlace? signs, SignPlace? next)
    {
        var means = builder.TakeMap(new MapSize(1, 1, kernel.PaddedChannels));
        builder.Steps.Add(new AverageStep(kernel, map, means));
        builder.Steps.Add(new LogitsStep(kernel, means, builder.Threads));
        builder.Release(map);
        builder.Release(means);
        return means;
    }

    /// <inheritdoc/>
    public override void Dispose() => kernel.Dispose();
}
