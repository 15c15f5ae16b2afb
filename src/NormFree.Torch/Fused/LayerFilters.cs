using NormFree.Kernels.Filters;
using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The effective filters of a layer's convolutions, concatenated: computed from weights and gains, with their backward pass.</summary>
internal sealed unsafe class LayerFilters : IDisposable
{
    private readonly BinaryConvolutionOptions options;
    private readonly IReadOnlyList<Tensor> weights;
    private readonly IReadOnlyList<Tensor> gains;
    private readonly NativeBuffer<FilterStatistics> statistics;

    /// <summary>Computes the filters.</summary>
    /// <param name="options">The shape of the convolutions and how their filters are computed.</param>
    /// <param name="weights">One per convolution, O×I×k×k.</param>
    /// <param name="gains">One per convolution; empty if the filters are not standardised.</param>
    public LayerFilters(BinaryConvolutionOptions options, IReadOnlyList<Tensor> weights, IReadOnlyList<Tensor> gains)
    {
        this.options = options;
        this.weights = [.. weights.Select(weight => weight.contiguous().DetachFromDisposeScope())];
        this.gains = [.. gains.Select(gain => gain.contiguous().DetachFromDisposeScope())];
        statistics = new NativeBuffer<FilterStatistics>(options.Out);
        if (options.BinaryWeight) ComputeBinary();
        else ComputeReal();
    }

    /// <summary>The scale of each binary filter; null if the filters are real.</summary>
    public NativeBuffer<float>? Scale { get; private set; }

    /// <summary>The signs, O × taps × ⌈I/64⌉ words; null if the filters are real.</summary>
    public NativeBuffer<ulong>? Signs { get; private set; }

    /// <summary>The real filters, O×I×k×k, channels-last; null if the filters are binary.</summary>
    public Tensor? Real { get; private set; }

    private IEnumerable<(int Convolution, int First, FilterBank Bank)> Banks
    {
        get
        {
            var first = 0;
            for (var convolution = 0; convolution < options.Outs.Count; convolution++)
            {
                yield return (convolution, first, Bank(options.Outs[convolution]));
                first += options.Outs[convolution];
            }
        }
    }

    /// <summary>The signs grouped by channel, for the input's gradient: taps × ⌈O/32⌉ × I' words.</summary>
    public NativeBuffer<uint> SignsByChannel()
    {
        var bank = Bank(options.Out);
        var words = new NativeBuffer<uint>(bank.SignsByChannel);
        SignTranspose.ByChannel(bank, Signs!.Pointer, words.Pointer, TorchWorkers.Instance);
        return words;
    }

    /// <summary>The signs grouped by filter, for products with real maps: taps × ⌈I/32⌉ × O' words.</summary>
    public NativeBuffer<uint> SignsByFilter()
    {
        var bank = Bank(options.Out);
        var words = new NativeBuffer<uint>(bank.SignsByFilter);
        SignTranspose.ByFilter(bank, Signs!.Pointer, words.Pointer, TorchWorkers.Instance);
        return words;
    }

    /// <summary>The filters as floats, O × taps × I.</summary>
    public NativeBuffer<float> Floats()
    {
        var bank = Bank(options.Out);
        var floats = new NativeBuffer<float>((long)bank.Out * bank.Size);
        if (Real is null) BinaryFilters.Expand(bank, Signs!.Pointer, Scale!.Pointer, floats.Pointer);
        else Buffer.MemoryCopy(TensorMemory.Floats(Real), floats.Pointer, floats.Length * sizeof(float), floats.Length * sizeof(float));
        return floats;
    }

    /// <summary>The gradients of each convolution's weight and gain in turn, or of the weights alone.</summary>
    /// <param name="ofEffective">The gradient of the effective filters, O × taps × I.</param>
    public List<Tensor> Gradients(float* ofEffective)
    {
        List<Tensor> gradients = [];
        foreach (var (convolution, first, bank) in Banks)
        {
            var ofWeight = empty_like(weights[convolution]);
            var ofGain = gains.Count == 0 ? null : empty_like(gains[convolution]);
            Backward(convolution, first, bank, ofEffective + (long)first * bank.Size, ofWeight, ofGain);
            gradients.Add(ofWeight);
            if (ofGain is not null) gradients.Add(ofGain);
        }
        return gradients;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in weights.Concat(gains)) tensor.Dispose();
        statistics.Dispose();
        Scale?.Dispose();
        Signs?.Dispose();
        Real?.Dispose();
    }

    private FilterBank Bank(int filters) => new(filters, options.In, options.Kernel * options.Kernel, options.Standardised, options.Factor);

    private float* Gain(int convolution) => gains.Count == 0 ? null : TensorMemory.Floats(gains[convolution]);

    private void ComputeBinary()
    {
        Scale = new NativeBuffer<float>(options.Out);
        Signs = new NativeBuffer<ulong>(Bank(options.Out).SignWords);
        foreach (var (convolution, first, bank) in Banks)
        {
            FilterKernels.Best.BinaryForward(
                bank, TensorMemory.Floats(weights[convolution]), Gain(convolution), statistics.Pointer + first,
                Scale.Pointer + first, Signs.Pointer + (long)first * bank.Taps * bank.Words, TorchWorkers.Instance);
        }
    }

    private void ComputeReal()
    {
        Real = ChannelsLast.Empty(options.Out, options.In, options.Kernel, options.Kernel).DetachFromDisposeScope();
        foreach (var (convolution, first, bank) in Banks)
        {
            FilterKernels.Best.RealForward(
                bank, TensorMemory.Floats(weights[convolution]), Gain(convolution), statistics.Pointer + first,
                TensorMemory.Floats(Real) + (long)first * bank.Size, FilterLayout.ChannelsLast, TorchWorkers.Instance);
        }
    }

    private void Backward(int convolution, int first, FilterBank bank, float* ofEffective, Tensor ofWeight, Tensor? ofGain)
    {
        var weight = TensorMemory.Floats(weights[convolution]);
        var target = TensorMemory.Floats(ofWeight);
        var gainTarget = ofGain is null ? null : TensorMemory.Floats(ofGain);
        if (options.BinaryWeight)
            FilterKernels.Best.BinaryBackward(bank, weight, Gain(convolution), statistics.Pointer + first, ofEffective, FilterLayout.ChannelsLast, target, gainTarget, TorchWorkers.Instance);
        else
            FilterKernels.Best.RealBackward(bank, weight, Gain(convolution), statistics.Pointer + first, ofEffective, FilterLayout.ChannelsLast, target, gainTarget, TorchWorkers.Instance);
    }
}
