using NormFree.Kernels.Activations;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The part of a binary layer after its norm, RPReLU(branch + shortcut), as one autograd function.</summary>
public static class ResidualRPReLU
{
    /// <summary>Adds the maps and applies the activation.</summary>
    /// <param name="key">The layer's name in profiles and messages.</param>
    /// <param name="branch">N×C×H×W, float32 on the CPU.</param>
    /// <param name="shortcut">N×C×H×W.</param>
    /// <param name="activation">RPReLU's input shift, slope and output shift.</param>
    /// <returns>N×C×H×W, channels-last.</returns>
    /// <exception cref="ArgumentException">A tensor is not on the CPU or not float32, or the shapes differ.</exception>
    public static Tensor Apply(string key, Tensor branch, Tensor shortcut, IReadOnlyList<Tensor> activation)
    {
        FusedChecks.Sum(key, branch, shortcut, activation);
        return FusedFunction.Run(new Call(key, branch, shortcut, activation));
    }

    private sealed unsafe class Call(string key, Tensor branch, Tensor shortcut, IReadOnlyList<Tensor> parameters) : IFusedCall
    {
        private readonly FusedActivation activation = new(parameters);
        private readonly bool shortcutIsLeaf = shortcut.is_leaf;
        private Tensor? sum;

        public string Key => key;

        public IReadOnlyList<Tensor> Inputs { get; } = [branch, shortcut, .. parameters];

        public Tensor Forward(bool keep)
        {
            using Tensor first = ChannelsLast.Of(branch), second = ChannelsLast.Of(shortcut);
            int channels = (int)first.size(1), pixels = (int)(first.numel() / channels);
            var result = ChannelsLast.Empty(first.size(0), channels, first.size(2), first.size(3));
            sum = keep ? ChannelsLast.Empty(first.size(0), channels, first.size(2), first.size(3)).DetachFromDisposeScope() : null;
            float* a = TensorMemory.Floats(first), b = TensorMemory.Floats(second), y = TensorMemory.Floats(result);
            var u = sum is null ? y : TensorMemory.Floats(sum);
            Pixels.ForEach(pixels, channels, (begin, count) =>
            {
                var offset = (long)begin * channels;
                ResidualActivation.Best.Forward(count, activation.Parameters, a + offset, b + offset, channels, u + offset, y + offset);
            });
            return result;
        }

        public IReadOnlyList<Tensor> Backward(Tensor gradient)
        {
            var (du, ofParameters) = activation.Backward(sum!, gradient);
            // A leaf keeps this tensor as its gradient, so it must not share memory with the branch's gradient.
            return [du, shortcutIsLeaf ? du.clone() : du.alias(), .. ofParameters];
        }

        public void Dispose()
        {
            activation.Dispose();
            sum?.Dispose();
        }
    }
}

/// <summary>An RPReLU after a sum: its parameters and its backward pass.</summary>
internal sealed unsafe class FusedActivation : IDisposable
{
    private readonly Tensor shiftIn;
    private readonly Tensor slope;
    private readonly Tensor shiftOut;
    private readonly int channels;

    /// <summary>Keeps aliases (copies if not dense) of the input shift, the slope and the output shift, C values each.</summary>
    public FusedActivation(IReadOnlyList<Tensor> parameters)
    {
        shiftIn = parameters[0].contiguous().DetachFromDisposeScope();
        slope = parameters[1].contiguous().DetachFromDisposeScope();
        shiftOut = parameters[2].contiguous().DetachFromDisposeScope();
        channels = (int)slope.numel();
    }

    /// <summary>The addresses of the parameters.</summary>
    public RPReLUParameters Parameters =>
        new(channels, TensorMemory.Floats(shiftIn), TensorMemory.Floats(slope), TensorMemory.Floats(shiftOut));

    /// <summary>The gradients of the sum and of the three parameters.</summary>
    /// <param name="sum">The sum from the forward pass, channels-last.</param>
    /// <param name="gradient">The gradient of the result.</param>
    public (Tensor OfSum, Tensor[] OfParameters) Backward(Tensor sum, Tensor gradient)
    {
        using var dy = ChannelsLast.Of(gradient);
        int height = (int)sum.size(2), width = (int)sum.size(3), pixels = (int)sum.size(0) * height * width;
        var du = ChannelsLast.Empty(sum.size(0), channels, height, width);
        float* values = TensorMemory.Floats(sum), source = TensorMemory.Floats(dy), target = TensorMemory.Floats(du);
        using var sums = new PartialSums(Pixels.Tasks(pixels, channels), 3 * channels);
        Pixels.ForEach(pixels, channels, (task, first, count) =>
        {
            var offset = (long)first * channels;
            ResidualActivation.Best.Backward(count, Parameters, values + offset, source + offset, target + offset, sums.Of(task));
        });
        GC.KeepAlive(sum);
        return (du, [sums.Total(0, [1, channels, 1, 1]), sums.Total(channels, [channels]), sums.Total(2 * channels, [1, channels, 1, 1])]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        shiftIn.Dispose();
        slope.Dispose();
        shiftOut.Dispose();
    }
}
