using NormFree.Kernels.Optimisers;
using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>One step of a <see cref="FunctionOptimiser"/> for one parameter, in place. Called without gradients and in a dispose scope.</summary>
/// <param name="parameter">The parameter, its weight decay and its rate factor, which the rate includes already.</param>
/// <param name="gradient">The gradient, of the parameter's shape.</param>
/// <param name="state">The parameter's tensors, one per slot. They start at 0; checkpoints keep them.</param>
/// <param name="rate">The learning rate.</param>
public delegate void OptimiserStep(OptimisedParameter parameter, Tensor gradient, IReadOnlyList<Tensor> state, double rate);

/// <summary>An optimiser whose step is a function. Its state is saved and restored like that of the others.</summary>
/// <param name="parameters">The parameters to train.</param>
/// <param name="slots">Names of the state tensors of each parameter; may be empty.</param>
/// <param name="step">The step.</param>
public sealed class FunctionOptimiser(IReadOnlyList<OptimisedParameter> parameters, IReadOnlyList<string> slots, OptimiserStep step)
    : ParameterOptimiser(parameters, [.. slots])
{
    /// <inheritdoc/>
    protected override bool HasKernels => false;

    /// <inheritdoc/>
    protected override void Update(int index, Tensor gradient, double rate) =>
        step(Parameters[index], gradient, [.. slots.Select(slot => Slot(slot, index))], rate);

    /// <inheritdoc/>
    protected override void Update(ReadOnlySpan<OptimisedTensor> tensors, double rate)
    {
    }
}
