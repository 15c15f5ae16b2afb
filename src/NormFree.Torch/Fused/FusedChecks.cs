using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Validates the arguments of fused layers. Kernels work on raw addresses and would read past the end of a tensor that is too small.</summary>
internal static class FusedChecks
{
    /// <summary>Checks a convolution's input and filters.</summary>
    /// <exception cref="ArgumentException">A tensor is not on the CPU, not float32, or does not have the shape that the options require.</exception>
    public static void Filters(BinaryConvolutionOptions options, Tensor x, IReadOnlyList<Tensor> weights, IReadOnlyList<Tensor> gains)
    {
        Rank(options.Key, nameof(x), x);
        Map(options.Key, nameof(x), x, x.size(0), options.In, x.size(2), x.size(3));
        FilterFits(options, x);
        var convolutions = options.Outs.Count;
        Count(options.Key, "weights", weights.Count, convolutions);
        Count(options.Key, "gains", gains.Count, options.Standardised ? convolutions : 0);
        for (var i = 0; i < convolutions; i++)
        {
            Map(options.Key, "weight", weights[i], options.Outs[i], options.In, options.Kernel, options.Kernel);
            if (options.Standardised) Channels(options.Key, "gain", gains[i], options.Outs[i]);
        }
    }

    /// <summary>Checks a binary convolution's input and parameters.</summary>
    /// <inheritdoc cref="Filters"/>
    public static void Convolution(BinaryConvolutionOptions options, Tensor x, BinaryLayerParameters parameters)
    {
        Filters(options, x, parameters.Weights, parameters.Gains);
        Channels(options.Key, "shift", parameters.Shift, options.In);
    }

    /// <summary>Checks a whole layer's input, shortcut and parameters.</summary>
    /// <inheritdoc cref="Filters"/>
    public static void Layer(BinaryConvolutionOptions options, Tensor x, Tensor? shortcut, BinaryLayerParameters parameters)
    {
        Convolution(options, x, parameters);
        Activation(options.Key, parameters.Activation, options.Out);
        long height = OutputSide(options, x.size(2)), width = OutputSide(options, x.size(3));
        if (shortcut is not null) Map(options.Key, nameof(shortcut), shortcut, x.size(0), options.Out, height, width);
        else if (options.Out % options.In != 0 || height != x.size(2) || width != x.size(3))
            throw new ArgumentException(
                $"{options.Key}: the shape {options.In}×{x.size(2)}×{x.size(3)} of x cannot be repeated to {options.Out}×{height}×{width}: pass a shortcut of the output's shape.", nameof(shortcut));
    }

    /// <summary>Checks two maps of the same shape that are added, and an activation's parameters.</summary>
    /// <inheritdoc cref="Filters"/>
    public static void Sum(string key, Tensor branch, Tensor shortcut, IReadOnlyList<Tensor> activation)
    {
        Rank(key, nameof(branch), branch);
        Map(key, nameof(branch), branch, branch.size(0), branch.size(1), branch.size(2), branch.size(3));
        Map(key, nameof(shortcut), shortcut, branch.size(0), branch.size(1), branch.size(2), branch.size(3));
        Activation(key, activation, branch.size(1));
    }

    /// <summary>Checks the input of an average pooling.</summary>
    /// <inheritdoc cref="Filters"/>
    public static void Pool(string key, Tensor x, int kernel)
    {
        Rank(key, nameof(x), x);
        Floats(key, nameof(x), x);
        if (kernel < 1 || x.size(2) < kernel || x.size(3) < kernel)
            throw new ArgumentException($"{key}: a window of {kernel}×{kernel} pixels does not fit into a map of {x.size(2)}×{x.size(3)}.", nameof(kernel));
    }

    private static void FilterFits(BinaryConvolutionOptions options, Tensor x)
    {
        if (options.Stride < 1 || options.Padding < 0 || Math.Min(x.size(2), x.size(3)) + 2 * options.Padding < options.Kernel)
            throw new ArgumentException(
                $"{options.Key}: a {options.Kernel}×{options.Kernel} filter with padding {options.Padding} and stride {options.Stride} does not fit into a map of {x.size(2)}×{x.size(3)}.");
    }

    private static long OutputSide(BinaryConvolutionOptions options, long side) => (side + 2 * options.Padding - options.Kernel) / options.Stride + 1;

    private static void Activation(string key, IReadOnlyList<Tensor> activation, long channels)
    {
        Count(key, "activation parameters", activation.Count, 3);
        foreach (var parameter in activation) Channels(key, "activation parameter", parameter, channels);
    }

    private static void Count(string key, string what, int count, int expected)
    {
        if (count != expected) throw new ArgumentException($"{key}: got {count} {what}, expected {expected}.");
    }

    private static void Channels(string key, string what, Tensor tensor, long channels)
    {
        Floats(key, what, tensor);
        if (tensor.numel() != channels) throw new ArgumentException($"{key}: {what} has {tensor.numel()} values, expected {channels}.");
    }

    private static void Rank(string key, string what, Tensor tensor)
    {
        if (tensor.ndim != 4) throw new ArgumentException($"{key}: {what} has {tensor.ndim} dimensions, expected 4 (N×C×H×W).");
    }

    private static void Map(string key, string what, Tensor tensor, long first, long second, long third, long fourth)
    {
        Floats(key, what, tensor);
        if (tensor.ndim == 4 && tensor.size(0) == first && tensor.size(1) == second && tensor.size(2) == third && tensor.size(3) == fourth) return;
        throw new ArgumentException($"{key}: {what} has shape {string.Join('×', tensor.shape)}, expected {first}×{second}×{third}×{fourth}.");
    }

    private static void Floats(string key, string what, Tensor tensor)
    {
        if (tensor.device_type != TorchSharp.DeviceType.CPU || tensor.dtype != ScalarType.Float32)
            throw new ArgumentException($"{key}: {what} is {tensor.dtype} on {tensor.device_type}; fused layers need Float32 on the CPU.");
    }
}
