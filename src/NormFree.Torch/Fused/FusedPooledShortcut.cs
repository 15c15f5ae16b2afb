using NormFree.Kernels.Activations;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Average pooling of β·x as one autograd function: the shortcut of a layer that downsamples.</summary>
public static class FusedPooledShortcut
{
    /// <summary>Applies the pooling.</summary>
    /// <param name="key">The layer's name in profiles and messages.</param>
    /// <param name="x">N×C×H×W, float32 on the CPU.</param>
    /// <param name="beta">β.</param>
    /// <param name="kernel">k: window size and stride.</param>
    /// <returns>N×C×⌊H/k⌋×⌊W/k⌋, channels-last.</returns>
    /// <exception cref="ArgumentException">x is not on the CPU, not float32, or smaller than the window.</exception>
    public static Tensor Apply(string key, Tensor x, double beta, int kernel)
    {
        FusedChecks.Pool(key, x, kernel);
        return FusedFunction.Run(new Call(key, x, (float)(beta / (kernel * kernel)), kernel));
    }

    private sealed unsafe class Call(string key, Tensor x, float factor, int kernel) : IFusedCall
    {
        private readonly int batch = (int)x.size(0), channels = (int)x.size(1), height = (int)x.size(2), width = (int)x.size(3);

        public string Key => key;

        public IReadOnlyList<Tensor> Inputs { get; } = [x];

        public Tensor Forward(bool keep)
        {
            using var map = ChannelsLast.Of(x);
            int rows = height / kernel, columns = width / kernel;
            var result = ChannelsLast.Empty(batch, channels, rows, columns);
            float* source = TensorMemory.Floats(map), target = TensorMemory.Floats(result);
            TorchWorkers.Instance.Run(batch, image =>
            {
                for (var row = 0; row < rows; row++)
                {
                    var from = source + ((nint)image * height + row * kernel) * width * channels;
                    ScaledAveragePool.Best.Forward(width, channels, kernel, factor, from, target + ((nint)image * rows + row) * columns * channels);
                }
            });
            return result;
        }

        public IReadOnlyList<Tensor> Backward(Tensor gradient)
        {
            using var dy = ChannelsLast.Of(gradient);
            int rows = height / kernel, columns = width / kernel;
            var result = ChannelsLast.Empty(batch, channels, height, width);
            float* source = TensorMemory.Floats(dy), target = TensorMemory.Floats(result);
            TorchWorkers.Instance.Run(batch, image =>
            {
                for (var row = 0; row < height; row++)
                {
                    var from = row / kernel < rows ? source + ((nint)image * rows + row / kernel) * columns * channels : null;
                    ScaledAveragePool.Best.Backward(width, channels, kernel, factor, from, target + ((nint)image * height + row) * width * channels);
                }
            });
            return [result];
        }

        public void Dispose()
        {
        }
    }
}
