using NormFree.Kernels.Activations;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>A 1×1 convolution of a real map with binary filters as one autograd function: the shortcut convolution of stage 2.</summary>
/// <remarks>
/// y = w ∗ x, with w = factor·gain·s·sign(v) (<see cref="Layers.Convolution"/>). The forward pass and dx use
/// table lookups for real × sign products; dw is libtorch's matrix product duᵀ·x.
/// </remarks>
public static class BinaryFilterConvolution
{
    /// <summary>Applies the convolution.</summary>
    /// <param name="options">One 1×1 convolution with stride 1 and binary filters; β is ignored.</param>
    /// <param name="x">N×C×H×W, float32 on the CPU.</param>
    /// <param name="weight">O×C×1×1.</param>
    /// <param name="gain">O×1×1×1 if the filters are standardised, else null.</param>
    /// <returns>N×O×H×W, channels-last.</returns>
    /// <exception cref="ArgumentException">The options describe another convolution; or a tensor is not on the CPU, not float32, or has the wrong shape.</exception>
    public static Tensor Apply(BinaryConvolutionOptions options, Tensor x, Tensor weight, Tensor? gain)
    {
        if (options is not { Kernel: 1, Stride: 1, Padding: 0, BinaryWeight: true, Outs.Count: 1 })
            throw new ArgumentException($"{options.Key} is not a single 1×1 convolution with stride 1 and binary filters.", nameof(options));
        return FusedFunction.Run(new Call(options, x, weight, gain));
    }

    private sealed unsafe class Call : IFusedCall
    {
        private readonly BinaryConvolutionOptions options;
        private readonly Tensor map;
        private readonly LayerFilters filters;
        private readonly ConvolutionShape shape;

        public Call(BinaryConvolutionOptions options, Tensor x, Tensor weight, Tensor? gain)
        {
            this.options = options;
            Tensor[] gains = gain is null ? [] : [gain];
            FusedChecks.Filters(options, x, [weight], gains);
            Inputs = [x, weight, .. gains];
            using var noGrad = no_grad();
            map = ChannelsLast.Of(x).DetachFromDisposeScope();
            filters = new LayerFilters(options, [weight], gains);
            shape = new ConvolutionShape((int)x.size(0), (int)x.size(2), (int)x.size(3), options.In, options.Out, 1, 1, 1, 1, 0, 0);
        }

        public string Key => options.Key;

        public IReadOnlyList<Tensor> Inputs { get; }

        public Tensor Forward(bool keep)
        {
            using var signs = filters.SignsByFilter();
            var result = ChannelsLast.Empty(shape.Batch, shape.Out, shape.Height, shape.Width);
            Multiply(new ConvolutionGeometry(shape, Transposed: false), map, null, signs, filters.Scale!.Pointer, result);
            return result;
        }

        public IReadOnlyList<Tensor> Backward(Tensor gradient)
        {
            using var du = ChannelsLast.Of(gradient);
            using var signs = filters.SignsByChannel();
            var ofInput = ChannelsLast.Empty(shape.Batch, shape.In, shape.Height, shape.Width);
            using var ones = new NativeBuffer<float>(shape.In);
            new Span<float>(ones.Pointer, shape.In).Fill(1);
            Multiply(new ConvolutionGeometry(shape, Transposed: true), du, filters.Scale!.Pointer, signs, ones.Pointer, ofInput);
            return [ofInput, .. FilterGradients(du)];
        }

        public void Dispose()
        {
            map.Dispose();
            filters.Dispose();
        }

        private static void Multiply(ConvolutionGeometry pixels, Tensor source, float* sourceScale, NativeBuffer<uint> signs, float* targetScale, Tensor target)
        {
            var bands = new RowBands(pixels.Shape.Batch, pixels.TargetHeight, BinaryWeightConvolution.RowsPerTask(pixels));
            int stride = BinaryWeightConvolution.TargetStride(pixels), channels = pixels.TargetChannels;
            float* from = TensorMemory.Floats(source), to = TensorMemory.Floats(target);
            TorchWorkers.Instance.Run(bands.Count, task =>
            {
                var (image, row, rows) = bands[task];
                var count = rows * pixels.TargetWidth;
                var scratch = Scratch.OfThread(BinaryWeightConvolution.ScratchBytes(pixels, rows) + (long)count * stride * sizeof(float) + 64);
                var sums = scratch.Take<float>((long)count * stride);
                BinaryWeightConvolution.Best.Rows(pixels, image, row, rows, from, sourceScale, signs.Pointer, scratch, sums);
                var first = ((long)image * pixels.TargetHeight + row) * pixels.TargetWidth;
                ChannelScale.Best.ScaleFloats(count, channels, sums, stride, targetScale, to + first * channels);
            });
            GC.KeepAlive(source);
        }

        private List<Tensor> FilterGradients(Tensor du)
        {
            using Tensor rows = Matrix(du), columns = Matrix(map), transposed = rows.t(), ofEffective = transposed.mm(columns);
            var gradients = filters.Gradients(TensorMemory.Floats(ofEffective));
            GC.KeepAlive(ofEffective);
            return gradients;
        }

        private static Tensor Matrix(Tensor map)
        {
            using var pixels = map.permute(0, 2, 3, 1);
            return pixels.reshape(-1, map.size(1));
        }
    }
}
