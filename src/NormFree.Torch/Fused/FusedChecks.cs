using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Looks at what is handed to a fused layer: the kernels go by addresses, and read past the end of what is smaller than they were told.</summary>
internal static class FusedChecks
{
    /// <summary>A convolution's input and filters.</summary>
    /// <exception cref="ArgumentException">A tensor is not on the CPU, not of float32, or not of the size that the options say.</exception>
    public static void Filters(BinaryConvolutionOptions options, Tensor x, IReadOnlyList<Tensor> weights, IReadOnlyList<Tensor> gains)
    {
        Rank(options.Key, nameof(x), x);
        Map(options.Key, nameof(x), x, x.size(0), options.In, x.size(2), x.size(3));
        Covers(options, x);
        var convolutions = options.Outs.Count;
        Count(options.Key, "weights", weights.Count, convolutions);
        Count(options.Key, "gains", gains.Count, options.Standardised ? convolutions : 0);
        for (var i = 0; i < convolutions; i++)
        {
            Map(options.Key, "weight", weights[i], options.Outs[i], options.In, options.Kernel, options.Kernel);
            if (options.Standardised) Channels(options.Key, "gain", gains[i], options.Outs[i]);
        }
    }

    /// <summary>A binary convolution's input and parameters.</summary>
    /// <inheritdoc cref="Filters"/>
    public static void Convolution(BinaryConvolutionOptions options, Tensor x, BinaryLayerParameters parameters)
    {
        Filters(options, x, parameters.Weights, parameters.Gains);
        Channels(options.Key, "shift", parameters.Shift, options.In);
    }

    /// <summary>A whole layer's input, shortcut and parameters.</summary>
    /// <inheritdoc cref="Filters"/>
    public static void Layer(BinaryConvolutionOptions options, Tensor x, Tensor? shortcut, BinaryLayerParameters parameters)
    {
        Convolution(options, x, parameters);
        Activation(options.Key, parameters.Activation, options.Out);
        long height = Pixels(options, x.size(2)), width = Pixels(options, x.size(3));
        if (shortcut is not null) Map(options.Key, nameof(shortcut), shortcut, x.size(0), options.Out, height, width);
        else if (options.Out % options.In != 0 || height != x.size(2) || width != x.size(3))
            throw new ArgumentException(
                $"{options.Key}: {options.In}×{x.size(2)}×{x.size(3)} do not repeat to {options.Out}×{height}×{width}: the layer needs another shortcut.", nameof(shortcut));
    }

    /// <summary>Two maps of the same size that are added, and an activation's parameters.</summary>
    /// <inheritdoc cref="Filters"/>
    public static void Sum(string key, Tensor branch, Tensor shortcut, IReadOnlyList<Tensor> activation)
    {
        Rank(key, nameof(branch), branch);
        Map(key, nameof(branch), branch, branch.size(0), branch.size(1), branch.size(2), branch.size(3));
        Map(key, nameof(shortcut), shortcut, branch.size(0), branch.size(1), branch.size(2), branch.size(3));
        Activation(key, activation, branch.size(1));
    }

    /// <summary>A map of which means over squares are taken.</summary>
    /// <inheritdoc cref="Filters"/>
    public static void Pool(string key, Tensor x, int kernel)
    {
        Rank(key, nameof(x), x);
        Floats(key, nameof(x), x);
        if (kernel < 1 || x.size(2) < kernel || x.size(3) < kernel)
            throw new ArgumentException($"{key}: there are no squares of {kernel}×{kernel} pixels in a map of {x.size(2)}×{x.size(3)}.", nameof(kernel));
    }

    private static void Covers(BinaryConvolutionOptions options, Tensor x)
    {
        if (options.Stride < 1 || options.Padding < 0 || Math.Min(x.size(2), x.size(3)) + 2 * options.Padding < options.Kernel)
            throw new ArgumentException(
                $"{options.Key}: a {options.Kernel}×{options.Kernel} filter with padding {options.Padding} and stride {options.Stride} does not fit on a map of {x.size(2)}×{x.size(3)}.");
    }

    private static long Pixels(BinaryConvolutionOptions options, long side) => (side + 2 * options.Padding - options.Kernel) / options.Stride + 1;

    private static void Activation(string key, IReadOnlyList<Tensor> activation, long channels)
    {
        Count(key, "parameters of the activation", activation.Count, 3);
        foreach (var parameter in activation) Channels(key, "parameter of the activation", parameter, channels);
    }

    private static void Count(string key, string what, int count, int expected)
    {
        if (count != expected) throw new ArgumentException($"{key}: {count} {what}, where {expected} are expected.");
    }

    private static void Channels(string key, string what, Tensor tensor, long channels)
    {
        Floats(key, what, tensor);
        if (tensor.numel() != channels) throw new ArgumentException($"{key}: its {what} has {tensor.numel()} values, where {channels} are expected.");
    }

    private static void Rank(string key, string what, Tensor tensor)
    {
        if (tensor.ndim != 4) throw new ArgumentException($"{key}: its {what} has {tensor.ndim} axes; a map has 4, N×C×H×W.");
    }

    private static void Map(string key, string what, Tensor tensor, long first, long second, long third, long fourth)
    {
        Floats(key, what, tensor);
        if (tensor.ndim == 4 && tensor.size(0) == first && tensor.size(1) == second && tensor.size(2) == third && tensor.size(3) == fourth) return;
        throw new ArgumentException($"{key}: its {what} is {string.Join('×', tensor.shape)}, where {first}×{second}×{third}×{fourth} is expected.");
    }

    private static void Floats(string key, string what, Tensor tensor)
    {
        if (tensor.device_type != TorchSharp.DeviceType.CPU || tensor.dtype != ScalarType.Float32)
            throw new ArgumentException($"{key}: its {what} holds {tensor.dtype} on {tensor.device_type}; fused layers compute in Float32 on the CPU.");
    }
}
