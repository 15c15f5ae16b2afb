using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Real;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A layer whose numbers are laid out for the kernels. It is immutable, so that all threads share it.</summary>
/// <param name="model">The layer.</param>
internal abstract class PreparedLayer(PackedLayer model) : IDisposable
{
    /// <summary>The layer.</summary>
    public PackedLayer Model => model;

    /// <summary>Whether it can be the first layer for planar images; other layers read channels-last maps in the arena.</summary>
    public virtual bool ReadsPlanarImages => false;

    /// <summary>Prepares the layers of a valid model.</summary>
    public static PreparedLayer[] AllOf(PackedModel model, InstructionSet set)
    {
        var channels = new SumChannels(model);
        return [.. model.Layers.Select(layer => layer is PackedAdd add ? new PreparedAdd(add, channels.Of(add), set) : From(layer, set))];
    }

    private static PreparedLayer From(PackedLayer layer, InstructionSet set) => layer switch
    {
        PackedConvolution real => new PreparedConvolution(real, set),
        PackedMaxPool pool => new PreparedMaxPool(pool, set),
        PackedAffine affine => new PreparedAffine(affine, set),
        PackedAveragePool pool => new PreparedAveragePool(pool, set),
        PackedFlatten flatten => new PreparedFlatten(flatten),
        PackedBinaryLayer binary => new PreparedBinaryLayer(binary, set),
        PackedClassifier classifier => new PreparedClassifier(classifier, set),
        _ => throw new ArgumentException($"Unknown layer kind {layer.GetType().Name}.", nameof(layer)),
    };

    /// <summary>Appends the layer's steps to a plan.</summary>
    /// <param name="builder">The plan so far.</param>
    /// <param name="input">The input map, which is released. The layer may overwrite it only if this is its last use.</param>
    /// <param name="inputSigns">The signs of the input; null unless this is a binary layer.</param>
    /// <param name="outputSigns">Where the signs of the output go; null unless the next layer is binary.</param>
    /// <returns>The output map.</returns>
    public abstract MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns);

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>A real-valued convolution.</summary>
internal sealed class PreparedConvolution : PreparedLayer
{
    private readonly InstructionSet set;
    private readonly RealFilters filters;

    public unsafe PreparedConvolution(PackedConvolution layer, InstructionSet set) : base(layer)
    {
        this.set = set;
        var shape = new ConvolutionShape(
            1, layer.Kernel, layer.Kernel, layer.In, layer.Out, layer.Kernel, layer.Kernel, layer.Stride, layer.Stride, layer.Padding, layer.Padding);
        fixed (float* weights = layer.Weights, bias = layer.Bias) filters = RealFilters.Create(set, shape, weights, bias, layer.Groups);
        ReadsPlanarImages = layer.Groups == 1;
    }

    /// <inheritdoc/>
    public override bool ReadsPlanarImages { get; }

    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var output = builder.TakeMap(input.Size.After(Model));
        builder.Steps.Add(new ConvolutionStep(filters, input, output, SignWriter.For(set, outputSigns), builder.Threads));
        builder.Release(input);
        return output;
    }

    /// <inheritdoc/>
    public override void Dispose() => filters.Dispose();
}

/// <summary>A max-pool.</summary>
internal sealed class PreparedMaxPool(PackedMaxPool layer, InstructionSet set) : PreparedLayer(layer)
{
    private readonly MaxPooling pooling = MaxPooling.For(set);

    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var (height, width, channels) = input.Size;
        var shape = new ConvolutionShape(
            1, height, width, channels, channels, layer.Kernel, layer.Kernel, layer.Stride, layer.Stride, layer.Padding, layer.Padding);
        var output = builder.TakeMap(input.Size.After(layer));
        builder.Steps.Add(new MaxPoolStep(pooling, shape, input, output, SignWriter.For(set, outputSigns), builder.Threads));
        builder.Release(input);
        return output;
    }

    /// <summary>Does nothing: there is no native memory.</summary>
    public override void Dispose()
    {
    }
}

/// <summary>The classifier: global average pooling and a linear layer.</summary>
internal sealed class PreparedClassifier : PreparedLayer
{
    private readonly PooledClassifier kernel;

    public unsafe PreparedClassifier(PackedClassifier layer, InstructionSet set) : base(layer)
    {
        fixed (float* weights = layer.Weights, bias = layer.Bias) kernel = PooledClassifier.Create(set, layer.In, layer.Classes, weights, bias);
    }

    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var means = builder.TakeMap(new MapSize(1, 1, kernel.PaddedChannels));
        builder.Steps.Add(new GlobalAverageStep(kernel, input, means));
        builder.Steps.Add(new LogitsStep(kernel, means, builder.Threads));
        builder.Release(input);
        builder.Release(means);
        return means;
    }

    /// <inheritdoc/>
    public override void Dispose() => kernel.Dispose();
}
