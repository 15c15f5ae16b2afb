using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>A first-order optimiser: PyTorch's formulas, with a state that has names.</summary>
/// <remarks>
/// TorchSharp's own optimisers make several temporary scalars a tensor and step, which a garbage collection can free under way
/// (<see cref="ScalarArithmetic"/>), and keep their state without names.
/// </remarks>
public abstract class Optimiser : IDisposable
{
    private readonly Dictionary<string, Tensor[]> slots = [];

    /// <summary>Makes an optimiser with zeroed tensors for each slot and parameter.</summary>
    protected Optimiser(IReadOnlyList<OptimisedParameter> parameters, params ReadOnlySpan<string> slotNames)
    {
        Parameters = parameters;
        foreach (var slot in slotNames)
            slots.Add(slot, [.. parameters.Select(parameter => zeros_like(parameter.Tensor).DetachFromDisposeScope())]);
    }

    /// <summary>What is trained.</summary>
    protected IReadOnlyList<OptimisedParameter> Parameters { get; }

    /// <summary>Steps taken so far.</summary>
    public long Steps { get; set; }

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
        Steps++;
        for (var i = 0; i < Parameters.Count; i++)
        {
            using var scope = NewDisposeScope();
            if (Parameters[i].Tensor.grad is { } gradient) Update(i, gradient, rate);
        }
    }

    /// <summary>Moves one parameter. Runs without gradients and in a scope of its own.</summary>
    protected abstract void Update(int index, Tensor gradient, double rate);

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
