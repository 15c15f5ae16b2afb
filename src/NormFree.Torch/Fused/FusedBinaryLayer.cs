using NormFree.Kernels.Activations;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>A whole binary layer without a norm, y = RPReLU(α·(w ∗ sign(β·x + b)) + shortcut), as one autograd function.</summary>
/// <remarks>
/// <para>Differs from the composite layers of <see cref="Layers"/> in the order of summation and in sign(0), which is +1 as in a packed network
/// (deviation 13 of the method).</para>
/// <para>The backward pass needs x, the sum before the activation, and the packed signs: 8 bytes and one bit per value.</para>
/// </remarks>
public static class FusedBinaryLayer
{
    /// <summary>Applies the layer.</summary>
    /// <param name="options">The convolution.</param>
    /// <param name="x">N×C×H×W, float32 on the CPU.</param>
    /// <param name="shortcut">N×O×H'×W'; null uses x itself, repeated along the channels if the result has more.</param>
    /// <param name="parameters">The trainable tensors.</param>
    /// <returns>N×O×H'×W', channels-last.</returns>
    /// <exception cref="ArgumentException">A tensor is not on the CPU, not float32, or has the wrong shape; or x has the wrong shape for a shortcut.</exception>
    public static Tensor Apply(BinaryConvolutionOptions options, Tensor x, Tensor? shortcut, BinaryLayerParameters parameters) =>
        FusedFunction.Run(new Call(options, x, shortcut, parameters));

    private sealed unsafe class Call : IFusedCall, IConvolutionConsumer
    {
        private readonly BinaryConvolutionOptions options;
        private readonly BinaryInput input;
        private readonly LayerFilters filters;
        private readonly FusedActivation activation;
        private readonly IBinaryProduct product;
        private readonly int shortcuts;
        private Tensor? shortcutMap;
        private Tensor? sum;
        private float* shortcutValues, sumValues, resultValues;

        public Call(BinaryConvolutionOptions options, Tensor x, Tensor? shortcut, BinaryLayerParameters parameters)
        {
            FusedChecks.Layer(options, x, shortcut, parameters);
            this.options = options;
            Inputs = [x, .. (Tensor[])(shortcut is null ? [] : [shortcut]), parameters.Shift, .. parameters.Filters, .. parameters.Activation];
            using var noGrad = no_grad();
            shortcuts = shortcut is null ? options.Out / options.In : 0;
            input = new BinaryInput(x, parameters.Shift, options);
            filters = new LayerFilters(options, parameters.Weights, parameters.Gains);
            activation = new FusedActivation(parameters.Activation);
            product = options.BinaryWeight ? new SignedProduct(input, filters) : new RealProduct(input, filters, options);
            shortcutMap = shortcut is null ? null : ChannelsLast.Of(shortcut).DetachFromDisposeScope();
        }

        public string Key => options.Key;

        public IReadOnlyList<Tensor> Inputs { get; }

        public Tensor Forward(bool keep)
        {
            var shape = input.Shape;
            var result = ChannelsLast.Empty(shape.Batch, shape.Out, shape.OutHeight, shape.OutWidth);
            sum = keep ? ChannelsLast.Empty(shape.Batch, shape.Out, shape.OutHeight, shape.OutWidth).DetachFromDisposeScope() : null;
            resultValues = TensorMemory.Floats(result);
            sumValues = sum is null ? resultValues : TensorMemory.Floats(sum);
            shortcutValues = shortcutMap is null ? input.Values : TensorMemory.Floats(shortcutMap);
            product.Forward(this);
            shortcutMap?.Dispose();
            shortcutMap = null;
            return result;
        }

        public void Apply(long firstPixel, int pixels, int* counts, float* scale)
        {
            var offset = firstPixel * options.Out;
            ResidualActivation.Best.Forward(
                pixels, activation.Parameters, counts, scale, Shortcut(firstPixel), ShortcutChannels, sumValues + offset, resultValues + offset);
        }

        public void Apply(long firstPixel, int pixels, float* values)
        {
            var offset = firstPixel * options.Out;
            ResidualActivation.Best.Forward(
                pixels, activation.Parameters, values, Shortcut(firstPixel), ShortcutChannels, sumValues + offset, resultValues + offset);
        }

        public IReadOnlyList<Tensor> Backward(Tensor gradient)
        {
            var (du, ofActivation) = activation.Backward(sum!, gradient);
            sum!.Dispose();
            using var ofEffective = input.FilterGradient(TensorMemory.Floats(du));
            var ofFilters = filters.Gradients(ofEffective.Pointer);
            var (ofInput, ofShift) = product.InputGradient(du, shortcuts);
            if (shortcuts == 0) return [ofInput, du, ofShift, .. ofFilters, .. ofActivation];
            du.Dispose();
            return [ofInput, ofShift, .. ofFilters, .. ofActivation];
        }

        public void Dispose()
        {
            input.Dispose();
            filters.Dispose();
            activation.Dispose();
            shortcutMap?.Dispose();
            sum?.Dispose();
        }

        private int ShortcutChannels => shortcuts == 0 ? options.Out : options.In;

        private float* Shortcut(long pixel) => shortcutValues + pixel * ShortcutChannels;
    }
}
