using static TorchSharp.torch;

namespace NormFree.Torch.Training;

/// <summary>An exponential moving average of tensors: a ← d·a + (1 − d)·w after each step (Polyak and Juditsky, 1992; Izmailov et al., UAI 2018).</summary>
/// <remarks>
/// <para>In step n, counted from 0, d is min(decay, n/(10 + n)): the first step copies the tensors, and early weights are forgotten soon.</para>
/// <para>Running statistics of batch norm are averaged like weights; a network without batch norm has none.</para>
/// </remarks>
/// <param name="tensors">The tensors by name. Integer tensors are left out.</param>
/// <param name="decay">In (0, 1).</param>
public sealed class WeightAverage(IEnumerable<(string Name, Tensor Tensor)> tensors, double decay) : IDisposable
{
    private readonly (string Name, Tensor Tensor, Tensor Average)[] averages =
    [
        .. tensors.Where(pair => pair.Tensor.is_floating_point())
            .Select(pair => (pair.Name, pair.Tensor, zeros_like(pair.Tensor, requires_grad: false).DetachFromDisposeScope()))
    ];

    /// <summary>The averages: live tensors named <c>tensor/average</c>. Copy into them to restore a state.</summary>
    public IEnumerable<(string Name, Tensor Tensor)> State => averages.Select(pair => ($"{pair.Name}/average", pair.Average));

    /// <summary>The weight of the earlier average in a step.</summary>
    /// <param name="step">From 0.</param>
    public double Decay(long step) => Math.Min(decay, step / (10.0 + step));

    /// <summary>Adds the tensors' values to the average.</summary>
    /// <param name="step">The number of earlier steps.</param>
    public void Follow(long step)
    {
        using var noGrad = no_grad();
        using var temporaries = NewDisposeScope();
        var kept = Decay(step);
        foreach (var (_, tensor, average) in averages) average.TimesInPlace(kept).PlusInPlace(tensor.detach(), 1 - kept);
    }

    /// <summary>Exchanges the tensors' values and the averages. A second call restores both, bit for bit.</summary>
    public void Swap()
    {
        using var noGrad = no_grad();
        using var temporaries = NewDisposeScope();
        foreach (var (_, tensor, average) in averages)
        {
            var values = tensor.detach().clone();
            tensor.detach().copy_(average);
            average.copy_(values);
        }
    }

    /// <summary>Frees the averages.</summary>
    public void Dispose()
    {
        foreach (var (_, _, average) in averages) average.Dispose();
    }
}
