using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Packed;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A binary layer.</summary>
internal sealed unsafe class PreparedBinaryLayer : PreparedLayer
{
    private readonly PackedBinaryLayer layer;
    private readonly NativeBuffer<float> numbers;
    private readonly PreparedProjection? projection;

    public PreparedBinaryLayer(PackedBinaryLayer layer, InstructionSet set) : base(layer)
    {
        (this.layer, Set) = (layer, set);
        var shape = new ConvolutionShape(
            1, layer.Kernel, layer.Kernel, layer.In, layer.Out, layer.Kernel, layer.Kernel, layer.Stride, layer.Stride, layer.Padding, layer.Padding);
        fixed (ulong* signs = layer.Signs) Filters = PackedFilters.Create(set, shape, signs);
        numbers = new NativeBuffer<float>(layer.In + 4L * layer.Out);
        var rest = new Span<float>(numbers.Pointer, checked((int)numbers.Length));
        foreach (var values in (ReadOnlySpan<float[]>)[layer.Threshold, layer.Scale, layer.Bias, layer.Slope, layer.Shift])
        {
            values.CopyTo(rest);
            rest = rest[values.Length..];
        }
        if (layer.Shortcut is AveragePoolShortcut { Projection: { } binary }) projection = new PreparedProjection(layer.In, layer.Out, binary, set);
    }

    /// <summary>The instruction set of its kernels.</summary>
    public InstructionSet Set { get; }

    /// <summary>The binary filters.</summary>
    public PackedFilters Filters { get; }

    /// <summary>One per input channel.</summary>
    public float* Threshold => numbers.Pointer;

    /// <summary>Scale, bias and RPReLU's parameters, which the epilogue applies after the convolution.</summary>
    public EpilogueParameters Parameters
    {
        get
        {
            var scale = numbers.Pointer + layer.In;
            return new EpilogueParameters(layer.Out, scale, scale + layer.Out, scale + 2L * layer.Out, scale + 3L * layer.Out);
        }
    }

    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var size = input.Size.After(layer);
        var shortcut = layer.Shortcut is AveragePoolShortcut pooled ? PlanPooling(builder, pooled, input, size) : input;
        // The output may overwrite a shortcut of the same size: a task reads only those shortcut values that it overwrites.
        var output = shortcut.Size == size ? shortcut : builder.TakeMap(size);
        builder.Steps.Add(new BinaryStep(this, inputSigns!, shortcut, output, SignWriter.For(Set, outputSigns), builder.Threads));
        if (output != shortcut) builder.Release(shortcut);
        return output;
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Filters.Dispose();
        numbers.Dispose();
        projection?.Dispose();
    }

    private MapBuffer PlanPooling(PlanBuilder builder, AveragePoolShortcut pooled, MapBuffer input, MapSize size)
    {
        var output = builder.TakeMap(size);
        builder.Steps.Add(projection is null
            ? new AveragePoolStep(Set, pooled, input, output, builder.Threads)
            : new ProjectionStep(projection, pooled, input, output, builder.Threads));
        builder.Release(input);
        return output;
    }
}
