using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>Stochastic gradient descent with Nesterov momentum, as in PyTorch.</summary>
/// <remarks>b ← momentum·b + g (b ← g in the first step); p ← p − rate·(g + momentum·b). Weight decay·p is added to g first.</remarks>
/// <param name="parameters">The parameters to train.</param>
/// <param name="momentum">In [0, 1).</param>
public sealed class Sgd(IReadOnlyList<OptimisedParameter> parameters, double momentum) : ParameterOptimiser(parameters, "momentum_buffer")
{
    /// <inheritdoc/>
    protected override void Update(int index, Tensor gradient, double rate)
    {
        var parameter = Parameters[index];
        gradient = WithDecay(parameter, gradient);
        // The buffer starts at 0, so the first step is not a special case.
        var buffer = Slot("momentum_buffer", index).TimesInPlace(momentum).PlusInPlace(gradient);
        parameter.Tensor.PlusInPlace(gradient, -rate).PlusInPlace(buffer, -rate * momentum);
    }

    /// <inheritdoc/>
    protected override void Update(ReadOnlySpan<OptimisedTensor> tensors, double rate) =>
        OptimiserKernels.Best.Sgd(tensors, rate, momentum, TorchWorkers.Instance);
}
