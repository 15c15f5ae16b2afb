using NormFree.Kernels.Activations;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>A binary convolution α·(w ∗ sign(β·x + b)) as one autograd function: the part of a layer before its norm.</summary>
/// <remarks>Differs from the composite layers of <see cref="Layers"/> in the order of summation and in sign(0), which is +1 (deviation 13).</remarks>
public static class FusedBinaryConvolution
{
    /// <summary>Applies the convolution.</summary>
    /// <param name="options">The convolution.</param>
    /// <param name="x">N×C×H×W, float32 on the CPU.</param>
    /// <param name="parameters">The trainable tensors; the activation is ignored.</param>
    /// <returns>N×O×H'×W', channels-last.</returns>
    /// <exception cref="ArgumentException">A tensor is not on the CPU, not float32, or has the wrong shape.</exception>
    public static Tensor Apply(BinaryConvolutionOptions options, Tensor x, BinaryLayerParameters parameters) =>
        FusedFunction.Run(new Call(options, x, parameters));

    private sealed unsafe class Call : IFusedCall, IConvolutionConsumer
    {
        private readonly BinaryConvolutionOptions options;
        private readonly BinaryInput input;
        private readonly LayerFilters filters;
        private readonly IBinaryProduct product;
        private float* resultValues;

        public Call(BinaryConvolutionOptions options, Tensor x, BinaryLayerParameters parameters)
        {
            FusedChecks.Convolution(options, x, parameters);
            this.options = options;
            Inputs = [x, parameters.Shift, .. parameters.Filters];
            using var noGrad = no_grad();
            input = new BinaryInput(x, parameters.Shift, options);
            filters = new LayerFilters(options, parameters.Weights, parameters.Gains);
            product = options.BinaryWeight ? new SignedProduct(input, filters) : new RealProduct(input, filters, options);
        }

        public string Key => options.Key;

        public IReadOnlyList<Tensor> Inputs { get; }

        public Tensor Forward(bool keep)
        {
            var shape = input.Shape;
            var result = ChannelsLast.Empty(shape.Batch, shape.Out, shape.OutHeight, shape.OutWidth);
            resultValues = TensorMemory.Floats(result);
            product.Forward(this);
            return result;
        }

        public void Apply(long firstPixel, int pixels, int* counts, float* scale) =>
            ChannelScale.Best.ScaleIntegers(pixels, options.Out, counts, scale, resultValues + firstPixel * options.Out);

        public void Apply(long firstPixel, int pixels, float* values)
        {
            var size = (long)pixels * options.Out * sizeof(float);
            Buffer.MemoryCopy(values, resultValues + firstPixel * options.Out, size, size);
        }

        public IReadOnlyList<Tensor> Backward(Tensor gradient)
        {
            using var du = ChannelsLast.Of(gradient);
            using var ofEffective = input.FilterGradient(TensorMemory.Floats(du));
            var ofFilters = filters.Gradients(ofEffective.Pointer);
            var (ofInput, ofShift) = product.InputGradient(du, 0);
            return [ofInput, ofShift, .. ofFilters];
        }

        public void Dispose()
        {
            input.Dispose();
            filters.Dispose();
        }
    }
}
