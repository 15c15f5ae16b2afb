using System.Runtime.InteropServices;
using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>A first-order optimiser: PyTorch's formulas, with a state that has names.</summary>
/// <remarks>
/// <para>TorchSharp's own optimisers make several temporary scalars a tensor and step, which a garbage collection can free under way
/// (<see cref="ScalarArithmetic"/>), and keep their state without names.</para>
/// <para>Contiguous floats in the processor's memory take a step together, in one pass of our kernels; tensors on another device or of another
/// type each with torch's operators.</para>
/// </remarks>
public abstract class ParameterOptimiser : IDisposable
{
    private readonly OrderedDictionary<string, Tensor[]> slots = [];

    /// <summary>Makes an optimiser with zeroed tensors for each slot and parameter.</summary>
    protected ParameterOptimiser(IReadOnlyList<OptimisedParameter> parameters, params ReadOnlySpan<string> slotNames)
    {
        Parameters = parameters;
        foreach (var slot in slotNames)
            slots.Add(slot, [.. parameters.Select(parameter => zeros_like(parameter.Tensor).DetachFromDisposeScope())]);
    }

    /// <summary>What is trained.</summary>
    protected IReadOnlyList<OptimisedParameter> Parameters { get; }

    /// <summary>Steps taken so far.</summary>
    public long Steps { get; set; }

    /// <summary>Whether all tensors go through torch's operators: the oracle of the kernels.</summary>
    public bool Composite { get; init; }

    /// <summary>The state: live tensors by <c>parameter/slot</c>. Copy into them to put a state back.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State =>
        from slot in slots
        from pair in Parameters.Zip(slot.Value)
        select ($"{pair.First.Name}/{slot.Key}", pair.Second);

    /// <summary>Takes one step along the gradients; parameters without a gradient stay.</summary>
    /// <param name="rate">The learning rate of this step.</param>
    public void Step(double rate)
    {
        using var noGrad = no_grad();
        using var gradients = NewDisposeScope(); // keeps them alive
        Steps++;
        var plain = new List<OptimisedTensor>();
        for (var i = 0; i < Parameters.Count; i++)
        {
            if (Parameters[i].Tensor.grad is not { } gradient) continue;
            if (IsPlain(i, gradient))
            {
                plain.Add(Plain(i, gradient.contiguous()));
                continue;
            }
            using var temporaries = NewDisposeScope();
            Update(i, gradient, rate * Parameters[i].RateFactor);
        }
        Update(CollectionsMarshal.AsSpan(plain), rate);
        GC.KeepAlive(this); // and with it parameters and state
    }

    /// <summary>Moves one parameter with torch's operators. Runs without gradients and in a scope of its own.</summary>
    protected abstract void Update(int index, Tensor gradient, double rate);

    /// <summary>Moves all parameters that our kernels can work on.</summary>
    protected abstract void Update(ReadOnlySpan<OptimisedTensor> tensors, double rate);

    private bool IsPlain(int index, Tensor gradient) =>
        !Composite && TensorMemory.IsFloatsOnCpu(gradient) && TensorMemory.IsPlain(Parameters[index].Tensor)
        && slots.Values.All(slot => TensorMemory.IsPlain(slot[index]));

    private unsafe OptimisedTensor Plain(int index, Tensor gradient)
    {
        var parameter = Parameters[index];
        var state = slots.Values.Select(slot => (nint)TensorMemory.Floats(slot[index])).ToArray();
        return new OptimisedTensor(
            (nint)TensorMemory.Floats(parameter.Tensor), (nint)TensorMemory.Floats(gradient), state[0], state.ElementAtOrDefault(1),
            parameter.Tensor.numel(), parameter.WeightDecay, parameter.RateFactor);
    }

    /// <summary>The slot's tensor of one parameter.</summary>
    protected Tensor Slot(string name, int index) => slots[name][index];

    /// <summary>g + weight decay·p: L2 regularisation, as PyTorch's Adam and SGD have it.</summary>
    protected static Tensor WithDecay(OptimisedParameter parameter, Tensor gradient) =>
        parameter.WeightDecay == 0 ? gradient : gradient.Plus(parameter.Tensor.Times(parameter.WeightDecay));

    /// <summary>Frees the state.</summary>
    public void Dispose()
    {
        foreach (var tensor in slots.Values.SelectMany(tensors => tensors)) tensor.Dispose();
        GC.SuppressFinalize(this);
    }
}

/// <summary>A tensor to train.</summary>
/// <param name="Name">Names its state in checkpoints.</param>
/// <param name="Tensor">The tensor; its gradient is read at every step.</param>
/// <param name="WeightDecay">What its group says; 0 for none.</param>
/// <param name="RateFactor">Factor of the learning rate.</param>
public sealed record OptimisedParameter(string Name, Tensor Tensor, double WeightDecay, double RateFactor = 1);
