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
    /// <summary>The numbers: the thresholds of the inputs, then these vectors of one value per output, in this order.</summary>
    private const int ScaleIndex = 0, BiasIndex = 1, SlopeIndex = 2, ShiftIndex = 3, ZerosIndex = 4, OutputVectors = 5;

    private readonly PackedBinaryLayer layer;
    private readonly NativeBuffer<float> numbers;
    private readonly PreparedPooling? pooling;

    public PreparedBinaryLayer(PackedBinaryLayer layer, InstructionSet set) : base(layer)
    {
        (this.layer, Set) = (layer, set);
        var shape = new ConvolutionShape(
            1, layer.Kernel, layer.Kernel, layer.In, layer.Out, layer.Kernel, layer.Kernel, layer.Stride, layer.Stride, layer.Padding, layer.Padding);
        fixed (ulong* signs = layer.Signs) Filters = PackedFilters.Create(set, shape, signs);
        numbers = new NativeBuffer<float>(layer.In + OutputVectors * (long)layer.Out).Cleared();
        Copy(layer.Threshold, Threshold);
        Copy(layer.Scale, OfOutputs(ScaleIndex));
        Copy(layer.Bias, OfOutputs(BiasIndex));
        Copy(layer.Slope, OfOutputs(SlopeIndex));
        Copy(layer.Shift, OfOutputs(ShiftIndex));
        if (layer.Shortcut is AveragePoolShortcut pooled) pooling = new PreparedPooling(pooled, layer.In, layer.Out, set);
    }

    /// <summary>The instruction set of its kernels.</summary>
    public InstructionSet Set { get; }

    /// <summary>The binary filters.</summary>
    public PackedFilters Filters { get; }

    /// <summary>One per input channel.</summary>
    public float* Threshold => numbers.Pointer;

    /// <summary>Scale, bias and RPReLU's parameters, which the epilogue applies after the convolution.</summary>
    public EpilogueParameters Parameters =>
        new(layer.Out, OfOutputs(ScaleIndex), OfOutputs(BiasIndex), OfOutputs(SlopeIndex), OfOutputs(ShiftIndex));

    /// <summary>Zeros for every pixel, which the epilogue adds if there is no shortcut.</summary>
    public EpilogueShortcut Zeros => new(OfOutputs(ZerosIndex), layer.Out, 0);

    /// <inheritdoc/>
    public override MapBuffer Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, SignBuffer? outputSigns)
    {
        var size = input.Size.After(layer);
        return layer.Shortcut switch
        {
            ConcatenatedShortcut => PlanConcatenation(builder, input, size, inputSigns!, outputSigns),
            NoShortcut => PlanConvolution(builder, input, size, inputSigns!, outputSigns),
            _ => PlanSum(builder, PlanShortcut(builder, input, size), size, inputSigns!, outputSigns),
        };
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Filters.Dispose();
        numbers.Dispose();
        pooling?.Dispose();
    }

    private float* OfOutputs(int index) => numbers.Pointer + layer.In + index * (long)layer.Out;

    private static void Copy(float[] values, float* to) => values.CopyTo(new Span<float>(to, values.Length));

    private MapBuffer PlanShortcut(PlanBuilder builder, MapBuffer input, MapSize size)
    {
        if (pooling is null) return input;
        var output = pooling.Plan(builder, input, size);
        builder.Release(input);
        return output;
    }

    private MapBuffer PlanSum(PlanBuilder builder, MapBuffer shortcut, MapSize size, SignBuffer inputSigns, SignBuffer? outputSigns)
    {
        // The output may overwrite a shortcut of the same size: a task reads only those shortcut values that it overwrites.
        var output = shortcut.Size == size && builder.IsLastUse(shortcut) ? shortcut : builder.TakeMap(size);
        builder.Steps.Add(new BinaryStep(this, inputSigns, shortcut, output, SignWriter.For(Set, outputSigns), builder.Threads));
        if (output != shortcut) builder.Release(shortcut);
        return output;
    }

    private MapBuffer PlanConvolution(PlanBuilder builder, MapBuffer input, MapSize size, SignBuffer inputSigns, SignBuffer? outputSigns)
    {
        // Only the input's signs are read.
        builder.Release(input);
        var output = builder.TakeMap(size);
        builder.Steps.Add(new BinaryStep(this, inputSigns, null, output, SignWriter.For(Set, outputSigns), builder.Threads));
        return output;
    }

    private MapBuffer PlanConcatenation(PlanBuilder builder, MapBuffer input, MapSize size, SignBuffer inputSigns, SignBuffer? outputSigns)
    {
        var output = builder.TakeMap(size);
        builder.Steps.Add(new BinaryStep(this, inputSigns, null, output, SignWriter.For(Set, null), builder.Threads));
        builder.Steps.Add(new ConcatenateStep(input, output, SignWriter.For(Set, outputSigns), builder.Threads));
        builder.Release(input);
        return output;
    }
}
