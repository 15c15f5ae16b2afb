using NormFree.Torch.Layers;
using static TorchSharp.torch;
using static TorchSharp.torch.nn.functional;

namespace NormFree.Torch.Fused;

/// <summary>A convolution of real maps with real filters in a reduced precision: libtorch's own, forward and backward.</summary>
public static class RealConvolution
{
    /// <summary>Convolves in bfloat16; the filters are made in float32, and the result is float32.</summary>
    /// <inheritdoc cref="Convolution.Apply"/>
    public static Tensor InBFloat16(Tensor x, Tensor weight, Tensor? gain, in ConvolutionOptions options)
    {
        using var scope = NewDisposeScope();
        var used = Convolution.UsedWeight(weight, gain, options).to(ScalarType.BFloat16);
        var result = conv2d(
            x.to(ScalarType.BFloat16), used, strides: [options.Stride, options.Stride], padding: [options.Padding, options.Padding]);
        return result.to(ScalarType.Float32).MoveToOuterDisposeScope();
    }
}
