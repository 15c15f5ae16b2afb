using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>An affine layer.</summary>
internal sealed unsafe class PreparedAffine : PreparedLayer
{
    private readonly PackedAffine layer;
    private readonly InstructionSet set;
    private readonly ChannelAffine kernel;
    private readonly NativeBuffer<float> parameters;

    public PreparedAffine(PackedAffine layer, InstructionSet set) : base(layer)
    {
        (this.layer, this.set, kernel) = (layer, set, ChannelAffine.For(set));
        parameters = new NativeBuffer<float>(3L * layer.Channels);
        float[] values = [.. layer.Scale, .. layer.Bias, .. layer.Slope];
        values.CopyTo(new Span<float>(parameters.Pointer, values.Length));
    }

    /// <summary>Computes pixels of the output; the target may be the source.</summary>
    public void Apply(int pixels, float* source, float* target) =>
        kernel.Apply(pixels, layer.Channels, parameters.Pointer, layer.Low, layer.High, source, target);

    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var output = builder.IsLastUse(input) ? input : builder.TakeMap(input.Size);
        builder.Steps.Add(new AffineStep(this, input, output, SignWriter.For(set, outputSigns), builder.Threads));
        if (output != input) builder.Release(input);
        return output;
    }

    /// <inheritdoc/>
    public override void Dispose() => parameters.Dispose();
}

/// <summary>Average pooling.</summary>
internal sealed class PreparedAveragePool(PackedAveragePool layer, InstructionSet set) : PreparedLayer(layer)
{
    private readonly AveragePoolShortcut mean = new(layer.Kernel, (float)(1.0 / ((double)layer.Kernel * layer.Kernel)), null);

    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var output = builder.TakeMap(input.Size.After(Model));
        builder.Steps.Add(
            new AveragePoolStep(ScaledAveragePool.For(set), mean, input, output, SignWriter.For(set, outputSigns), builder.Threads));
        builder.Release(input);
        return output;
    }

    /// <summary>Does nothing: there is no native memory.</summary>
    public override void Dispose()
    {
    }
}

/// <summary>Flattening: the output is the memory of the input with another size.</summary>
internal sealed class PreparedFlatten(PackedFlatten layer) : PreparedLayer(layer)
{
    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var output = input with { Size = input.Size.After(Model) };
        if (outputSigns is not null) builder.Steps.Add(new PackSignsStep(outputSigns, output));
        return output;
    }

    /// <summary>Does nothing: there is no native memory.</summary>
    public override void Dispose()
    {
    }
}

/// <summary>A sum with the input of an earlier layer.</summary>
/// <param name="layer">The layer.</param>
/// <param name="channels">Channels of the earlier layer's input and of the sum.</param>
/// <param name="set">The instruction set.</param>
internal sealed class PreparedAdd(PackedAdd layer, (int In, int Out) channels, InstructionSet set) : PreparedLayer(layer)
{
    private readonly MapAddition addition = MapAddition.For(set);
    private readonly PreparedPooling? pooling = layer.Pooled is null ? null : new PreparedPooling(layer.Pooled, channels.In, channels.Out, set);

    /// <summary>The key of the earlier layer.</summary>
    public string From => layer.From;

    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var source = builder.Kept(From);
        var shortcut = pooling is null ? source : pooling.Plan(builder, source, input.Size);
        var output = builder.IsLastUse(input) ? input : builder.TakeMap(input.Size);
        builder.Steps.Add(new AddStep(addition, input, shortcut, output, SignWriter.For(set, outputSigns), builder.Threads));
        if (output != input) builder.Release(input);
        if (shortcut != source) builder.Release(shortcut);
        builder.Release(source);
        return output;
    }

    /// <inheritdoc/>
    public override void Dispose() => pooling?.Dispose();
}
