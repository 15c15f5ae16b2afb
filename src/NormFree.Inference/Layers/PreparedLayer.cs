using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A layer with its numbers as kernels take them; it is never written to again, so that all threads share it.</summary>
/// <param name="model">The layer.</param>
internal abstract class PreparedLayer(PackedLayer model) : IDisposable
{
    /// <summary>The layer.</summary>
    public PackedLayer Model => model;

    /// <summary>Prepares any layer.</summary>
    public static PreparedLayer From(PackedLayer layer, InstructionSet set) => layer switch
    {
        RealConvolution real => new PreparedConvolution(real, set),
        MaxPool pool => new PreparedMaxPool(pool, set),
        BinaryLayer binary => new PreparedBinaryLayer(binary, set),
        Classifier classifier => new PreparedClassifier(classifier, set),
        _ => throw new ArgumentException($"There is no layer of kind {layer.GetType().Name}.", nameof(layer)),
    };

    /// <summary>Adds its steps to a plan.</summary>
    /// <param name="builder">The plan so far.</param>
    /// <param name="map">Its input, which no other layer reads: it is released.</param>
    /// <param name="signs">The signs of its input; null where it is no binary layer.</param>
    /// <param name="next">Where the next layer wants the signs of its result; null where that is no binary layer.</param>
    /// <returns>Its result.</returns>
    public abstract MapPlace Plan(PlanBuilder builder, MapPlace map, SignPlace? signs, SignPlace? next);

    /// <inheritdoc/>
    public abstract void Dispose();
}
