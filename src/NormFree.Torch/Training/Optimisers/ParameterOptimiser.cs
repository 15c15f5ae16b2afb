using System.Runtime.InteropServices;
using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>A first-order optimiser with PyTorch's formulas and a named state.</summary>
/// <remarks>
/// <para>TorchSharp's optimisers create temporary scalars that a garbage collection can free during a step (<see cref="ScalarArithmetic"/>), and their
/// state has no names.</para>
/// <para>NormFree's kernels update all contiguous float tensors on the CPU in one pass. torch's operators update the other tensors one by one.</para>
/// </remarks>
public abstract class ParameterOptimiser : IDisposable
{
    private readonly OrderedDictionary<string, Tensor[]> slots = [];

    /// <summary>Creates a zero tensor for each slot and parameter.</summary>
    protected ParameterOptimiser(IReadOnlyList<OptimisedParameter> parameters, params ReadOnlySpan<string> slotNames)
    {
        Parameters = parameters;
        foreach (var slot in slotNames)
            slots.Add(slot, [.. parameters.Select(parameter => zeros_like(parameter.Tensor).DetachFromDisposeScope())]);
    }

    /// <summary>The parameters to train.</summary>
    protected IReadOnlyList<OptimisedParameter> Parameters { get; }

    /// <summary>Number of steps taken.</summary>
    public long Steps { get; set; }

    /// <summary>Whether torch's operators update all tensors: the reference that tests compare the kernels with.</summary>
    public bool Composite { get; init; }

    /// <summary>The state: live tensors named <c>parameter/slot</c>. Copy into them to restore a state.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State =>
        from slot in slots
        from pair in Parameters.Zip(slot.Value)
        select ($"{pair.First.Name}/{slot.Key}", pair.Second);

    /// <summary>Takes one step. Parameters without a gradient stay unchanged.</summary>
    /// <param name="rate">The learning rate.</param>
    public void Step(double rate)
    {
        using var noGrad = no_grad();
        using var gradients = NewDisposeScope(); // keeps the gradients alive
        Steps++;
        var tensors = new List<OptimisedTensor>();
        for (var i = 0; i < Parameters.Count; i++)
        {
            if (Parameters[i].Tensor.grad is not { } gradient) continue;
            if (FitsKernels(i, gradient))
            {
                tensors.Add(ForKernels(i, gradient.contiguous()));
                continue;
            }
            using var temporaries = NewDisposeScope();
            Update(i, gradient, rate * Parameters[i].RateFactor);
        }
        Update(CollectionsMarshal.AsSpan(tensors), rate);
        GC.KeepAlive(this); // and its parameters and state
    }

    /// <summary>Updates one parameter with torch's operators. Called under no_grad and in a dispose scope.</summary>
    protected abstract void Update(int index, Tensor gradient, double rate);

    /// <summary>Updates parameters with the kernels.</summary>
    protected abstract void Update(ReadOnlySpan<OptimisedTensor> tensors, double rate);

    /// <summary>Whether there are kernels for this optimiser.</summary>
    protected virtual bool HasKernels => true;

    private bool FitsKernels(int index, Tensor gradient) =>
        HasKernels && !Composite && TensorMemory.IsFloatsOnCpu(gradient) && TensorMemory.IsContiguousFloats(Parameters[index].Tensor)
        && slots.Values.All(slot => TensorMemory.IsContiguousFloats(slot[index]));

    private unsafe OptimisedTensor ForKernels(int index, Tensor gradient)
    {
        var parameter = Parameters[index];
        var state = slots.Values.Select(slot => (nint)TensorMemory.Floats(slot[index])).ToArray();
        return new OptimisedTensor(
            (nint)TensorMemory.Floats(parameter.Tensor), (nint)TensorMemory.Floats(gradient), state[0], state.ElementAtOrDefault(1),
            parameter.Tensor.numel(), parameter.WeightDecay, parameter.RateFactor);
    }

    /// <summary>The tensor of one slot and parameter.</summary>
    protected Tensor Slot(string name, int index) => slots[name][index];

    /// <summary>g + weight decay·p: L2 regularisation as in PyTorch's Adam and SGD.</summary>
    protected static Tensor WithDecay(OptimisedParameter parameter, Tensor gradient) =>
        parameter.WeightDecay == 0 ? gradient : gradient.Plus(parameter.Tensor.Times(parameter.WeightDecay));

    /// <summary>Frees the state.</summary>
    public void Dispose()
    {
        foreach (var tensor in slots.Values.SelectMany(tensors => tensors)) tensor.Dispose();
        GC.SuppressFinalize(this);
    }
}

/// <summary>A parameter to train.</summary>
/// <param name="Name">The name of its state in checkpoints.</param>
/// <param name="Tensor">The tensor, whose gradient each step reads.</param>
/// <param name="WeightDecay">Weight decay; 0 for none.</param>
/// <param name="RateFactor">Factor of the learning rate.</param>
public sealed record OptimisedParameter(string Name, Tensor Tensor, double WeightDecay, double RateFactor = 1);
