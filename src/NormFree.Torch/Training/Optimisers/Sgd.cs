using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>Gradient descent with Nesterov's momentum, as PyTorch has it.</summary>
/// <remarks>b ← momentum·b + g (b ← g in the first step); p ← p − rate·(g + momentum·b). Weight decay·p is added to g first.</remarks>
/// <param name="parameters">What is trained.</param>
/// <param name="momentum">From 0 (none) to below 1.</param>
public sealed class Sgd(IReadOnlyList<OptimisedParameter> parameters, double momentum) : Optimiser(parameters, "momentum_buffer")
{
    /// <inheritdoc/>
    protected override void Update(int index, Tensor gradient, double rate)
    {
        var parameter = Parameters[index];
        gradient = WithDecay(parameter, gradient);
        // The buffer starts at 0, so that the first step needs no case of its own.
        var buffer = Slot("momentum_buffer", index).TimesInPlace(momentum).PlusInPlace(gradient);
        parameter.Tensor.PlusInPlace(gradient, -rate).PlusInPlace(buffer, -rate * momentum);
    }

    /// <inheritdoc/>
    protected override void Update(ReadOnlySpan<OptimisedTensor> tensors, double rate) =>
        OptimiserKernels.Best.Sgd(tensors, rate, momentum, TorchWorkers.Instance);
}
