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
    private readonly BinaryLayer layer;
    private readonly NativeBuffer<float> numbers;
    private readonly PreparedProjection? projection;

    public PreparedBinaryLayer(BinaryLayer layer, InstructionSet set) : base(layer)
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
        if (layer.Shortcut is PooledInput { Projection: { } projected }) projection = PreparedProjection.From(layer.In, layer.Out, projected, set);
    }

    /// <summary>What it computes on.</summary>
    public InstructionSet Set { get; }

    /// <summary>The filters.</summary>
    public PackedFilters Filters { get; }

    /// <summary>One an input channel.</summary>
    public float* Threshold => numbers.Pointer;

    /// <summary>What follows the convolution.</summary>
    public EpilogueParameters Parameters
    {
        get
        {
            var scale = numbers.Pointer + layer.In;
            return new EpilogueParameters(layer.Out, scale, scale + layer.Out, scale + 2L * layer.Out, scale + 3L * layer.Out);
        }
    }

    /// <inheritdoc/>
    public override MapPlace Plan(PlanBuilder builder, MapPlace map, SignPlace? signs, SignPlace? next)
    {
        var size = map.Size.After(layer);
        var shortcut = layer.Shortcut is PooledInput pooled ? Pool(builder, pooled, map, size) : map;
        // A task reads no other values of the shortcut than it overwrites, unless they repeat.
        var result = shortcut.Size == size ? shortcut : builder.TakeMap(size);
        builder.Steps.Add(new BinaryStep(this, signs!, shortcut, result, SignWriter.For(Set, next), builder.Threads));
        if (result != shortcut) builder.Release(shortcut);
        return result;
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Filters.Dispose();
        numbers.Dispose();
        projection?.Dispose();
    }

    private MapPlace Pool(PlanBuilder builder, PooledInput pooled, MapPlace map, MapSize size)
    {
        var result = builder.TakeMap(size);
        builder.Steps.Add(projection is null
            ? new PoolStep(Set, pooled, map, result, builder.Threads)
            : new ProjectionStep(projection, pooled, map, result, builder.Threads));
        builder.Release(map);
        return result;
    }
}
