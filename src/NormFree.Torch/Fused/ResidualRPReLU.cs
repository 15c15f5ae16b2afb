using NormFree.Kernels.Activations;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The part of a binary layer behind its norm, RPReLU(branch + shortcut), as one function of autograd.</summary>
public static class ResidualRPReLU
{
    /// <summary>Adds and activates.</summary>
    /// <param name="key">The layer's name in profiles and messages.</param>
    /// <param name="branch">N×C×H×W, float32 on the CPU.</param>
    /// <param name="shortcut">N×C×H×W.</param>
    /// <param name="activation">RPReLU's shift, slope, shift.</param>
    /// <returns>N×C×H×W, channels-last.</returns>
    /// <exception cref="ArgumentException">A tensor is not on the CPU, or not of float32; or the sizes differ.</exception>
    public static Tensor Apply(string key, Tensor branch, Tensor shortcut, IReadOnlyList<Tensor> activation)
    {
        LayerChecks.Sum(key, branch, shortcut, activation);
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
            // A leaf would keep the very tensor as its gradient: it must not share memory with the branch's.
            return [du, shortcutIsLeaf ? du.clone() : du.alias(), .. ofParameters];
        }

        public void Dispose()
        {
            activation.Dispose();
            sum?.Dispose();
        }
    }
}
