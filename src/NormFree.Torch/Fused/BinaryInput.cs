using NormFree.Kernels.Activations;
using NormFree.Kernels.Bits;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The input of a binary convolution, sign(β·x + b): packed for the forward pass, and the gradient of x and b.</summary>
internal sealed unsafe class BinaryInput : IDisposable
{
    private readonly Tensor map;
    private readonly Tensor shift;
    private readonly float beta;

    /// <summary>Keeps x, N×C×H×W, and its shift b, C values: aliases, or copies where they do not lie side by side.</summary>
    public BinaryInput(Tensor x, Tensor shift, BinaryConvolutionOptions options)
    {
        map = ChannelsLast.Of(x).DetachFromDisposeScope();
        this.shift = shift.contiguous().DetachFromDisposeScope();
        beta = options.Beta;
        Shape = new ConvolutionShape(
            (int)x.size(0), (int)x.size(2), (int)x.size(3), options.In, options.Out,
            options.Kernel, options.Kernel, options.Stride, options.Stride, options.Padding, options.Padding);
        Bits = new NativeBuffer<ulong>((long)Shape.InPixels * SignPacking.Words(options.In));
        Pack();
    }

    /// <summary>Sizes of the convolution.</summary>
    public ConvolutionShape Shape { get; }

    /// <summary>The signs: ⌈C/64⌉ words a pixel.</summary>
    public NativeBuffer<ulong> Bits { get; }

    /// <summary>x, channels-last.</summary>
    public float* Values => TensorMemory.Floats(map);

    /// <summary>The signs as indices of a product with real filters.</summary>
    public NativeBuffer<uint> UnfoldedChannelWords()
    {
        var words = new NativeBuffer<uint>(Kernels.Convolutions.UnfoldedChannelWords.Length(Shape));
        Kernels.Convolutions.UnfoldedChannelWords.Make(Shape, Bits.Pointer, words.Pointer, TorchWorkers.Instance);
        return words;
    }

    /// <summary>The filters' gradient, O × taps × C, where du is the gradient of the convolution's result before its factors.</summary>
    public NativeBuffer<float> FilterGradient(float* du)
    {
        using var planes = new NativeBuffer<uint>(Shape.Taps * UnfoldedPixelWords.WordsPerTap(Shape));
        UnfoldedPixelWords.Make(Shape, Bits.Pointer, planes.Pointer, TorchWorkers.Instance);
        var gradient = new NativeBuffer<float>((long)Shape.Out * Shape.Taps * Shape.In);
        Kernels.Convolutions.FilterGradient.Best.Compute(Shape, du, planes.Pointer, gradient.Pointer, TorchWorkers.Instance);
        return gradient;
    }

    /// <summary>dx of some pixels, and what they contribute to db.</summary>
    /// <param name="maps">Its input and sizes are set here.</param>
    /// <param name="firstPixel">The first pixel's number in the batch.</param>
    /// <param name="shiftGradient">db of these pixels, C values.</param>
    public void Gradient(SignGradientMaps maps, long firstPixel, float* shiftGradient)
    {
        maps.Channels = Shape.In;
        maps.Input = Values + firstPixel * Shape.In;
        SignGradient.Best.Backward(maps, beta, TensorMemory.Floats(shift), shiftGradient);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Bits.Dispose();
        map.Dispose();
        shift.Dispose();
    }

    private void Pack()
    {
        var words = SignPacking.Words(Shape.In);
        float* values = Values, bias = TensorMemory.Floats(shift);
        Pixels.ForEach(Shape.InPixels, Shape.In, (first, count) =>
            SignPacking.Best.Pack(values + (long)first * Shape.In, count, Shape.In, beta, bias, Bits.Pointer + (long)first * words));
    }
}
