using NormFree.Kernels.Activations;
using NormFree.Kernels.Bits;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The input of a binary convolution, sign(β·x + b): its packed signs, and the gradients of x and b.</summary>
internal sealed unsafe class BinaryInput : IDisposable
{
    private readonly Tensor map;
    private readonly Tensor shift;
    private readonly float beta;
    private readonly SignEstimator estimator;

    /// <summary>Keeps aliases (copies if not dense) of x, N×C×H×W, and of its shift b, C values, and packs the signs.</summary>
    public BinaryInput(Tensor x, Tensor shift, BinaryConvolutionOptions options)
    {
        map = ChannelsLast.Of(x).DetachFromDisposeScope();
        this.shift = shift.contiguous().DetachFromDisposeScope();
        beta = options.Beta;
        estimator = options.Estimator;
        Shape = new ConvolutionShape(
            (int)x.size(0), (int)x.size(2), (int)x.size(3), options.In, options.Out,
            options.Kernel, options.Kernel, options.Stride, options.Stride, options.Padding, options.Padding);
        Bits = new NativeBuffer<ulong>((long)Shape.InPixels * SignPacking.Words(options.In));
        Pack();
    }

    /// <summary>The shape of the convolution.</summary>
    public ConvolutionShape Shape { get; }

    /// <summary>The signs: ⌈C/64⌉ words per pixel.</summary>
    public NativeBuffer<ulong> Bits { get; }

    /// <summary>x, channels-last.</summary>
    public float* Values => TensorMemory.Floats(map);

    /// <summary>The signs as table indices for a product with real filters.</summary>
    public NativeBuffer<uint> UnfoldedChannelWords()
    {
        var words = new NativeBuffer<uint>(Kernels.Convolutions.UnfoldedChannelWords.Length(Shape));
        Kernels.Convolutions.UnfoldedChannelWords.Make(Shape, Bits.Pointer, words.Pointer, TorchWorkers.Instance);
        return words;
    }

    /// <summary>The gradient of the effective filters, O × taps × C.</summary>
    /// <param name="du">The gradient of the convolution's result.</param>
    public NativeBuffer<float> FilterGradient(float* du)
    {
        using var words = new NativeBuffer<uint>(UnfoldedPixelWords.Length(Shape));
        UnfoldedPixelWords.Make(Shape, Bits.Pointer, words.Pointer, TorchWorkers.Instance);
        var gradient = new NativeBuffer<float>((long)Shape.Out * Shape.Taps * Shape.In);
        Kernels.Convolutions.FilterGradient.Best.Compute(Shape, du, words.Pointer, gradient.Pointer, TorchWorkers.Instance);
        return gradient;
    }

    /// <summary>The gradients of x and b.</summary>
    /// <param name="product">Computes the gradient of sign(β·x + b).</param>
    /// <param name="du">The gradient of the convolution's result, channels-last.</param>
    /// <param name="shortcuts">How many times x is repeated as the shortcut, whose gradient is also <paramref name="du"/>; 0 if x is not the shortcut.</param>
    public (Tensor OfInput, Tensor OfShift) Gradient(SignGradientProduct product, Tensor du, int shortcuts)
    {
        var bands = new RowBands(Shape.Batch, Shape.Height, product.RowsPerTask);
        var gradient = ChannelsLast.Empty(Shape.Batch, Shape.In, Shape.Height, Shape.Width);
        float* source = TensorMemory.Floats(du), target = TensorMemory.Floats(gradient);
        using var ofShift = new PartialSums(bands.Count, Shape.In);
        TorchWorkers.Instance.Run(bands.Count, task =>
        {
            var (image, row, rows) = bands[task];
            var pixels = rows * Shape.Width;
            var ofSigns = (long)pixels * product.Stride;
            var scratch = Scratch.OfThread(product.ScratchBytes(rows) + ofSigns * sizeof(float) + 64);
            var signGradient = scratch.Take<float>(ofSigns);
            product.Rows(image, row, rows, source, scratch, signGradient);
            var first = ((long)image * Shape.Height + row) * Shape.Width;
            var maps = new SignBackwardMaps
            {
                Pixels = pixels,
                Gradient = signGradient,
                GradientStride = product.Stride,
                Result = target + first * Shape.In,
                ShortcutGradient = source + first * shortcuts * Shape.In,
                ShortcutRepeats = shortcuts,
            };
            Gradient(maps, first, ofShift.Of(task));
        });
        GC.KeepAlive(du);
        return (gradient, ofShift.Total(0, [1, Shape.In, 1, 1]));
    }

    /// <summary>Computes dx for a range of pixels, and their contribution to db.</summary>
    /// <param name="maps">Everything but the input and the number of channels, which this method sets.</param>
    /// <param name="firstPixel">Index of the first pixel in the batch.</param>
    /// <param name="shiftGradient">Receives the contribution to db, C values.</param>
    public void Gradient(SignBackwardMaps maps, long firstPixel, float* shiftGradient)
    {
        maps.Channels = Shape.In;
        maps.Input = Values + firstPixel * Shape.In;
        SignBackward.Best.Backward(maps, beta, TensorMemory.Floats(shift), shiftGradient, estimator);
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
