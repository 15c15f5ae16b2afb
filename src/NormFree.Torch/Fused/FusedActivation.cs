using NormFree.Kernels.Activations;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>An RPReLU behind a sum: its parameters, and the gradient of both.</summary>
internal sealed unsafe class FusedActivation : IDisposable
{
    private readonly Tensor shiftIn;
    private readonly Tensor slope;
    private readonly Tensor shiftOut;
    private readonly int channels;

    /// <summary>Keeps the parameters, shift, slope, shift, C values each: aliases, or copies where they do not lie side by side.</summary>
    public FusedActivation(IReadOnlyList<Tensor> parameters)
    {
        shiftIn = parameters[0].contiguous().DetachFromDisposeScope();
        slope = parameters[1].contiguous().DetachFromDisposeScope();
        shiftOut = parameters[2].contiguous().DetachFromDisposeScope();
        channels = (int)slope.numel();
    }

    /// <summary>The parameters' addresses.</summary>
    public RPReLUParameters Parameters =>
        new(channels, TensorMemory.Floats(shiftIn), TensorMemory.Floats(slope), TensorMemory.Floats(shiftOut));

    /// <summary>The gradients of the sum, and of the three parameters.</summary>
    /// <param name="sum">From the forward pass, channels-last.</param>
    /// <param name="gradient">Of the result.</param>
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
