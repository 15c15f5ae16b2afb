using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>Adam and AdamW with β = (0.9, 0.999) and ε = 1e-8.</summary>
/// <remarks>
/// <para>m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; p ← p − rate·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε).</para>
/// <para>Adam adds weight decay·p to g first (Kingma and Ba, ICLR 2015); AdamW multiplies p by 1 − rate·weight decay instead
/// (Loshchilov and Hutter, ICLR 2019).</para>
/// </remarks>
/// <param name="parameters">The parameters to train.</param>
/// <param name="decoupled">Whether weight decay is decoupled from the gradient (AdamW).</param>
public sealed class Adam(IReadOnlyList<OptimisedParameter> parameters, bool decoupled)
    : ParameterOptimiser(parameters, "exp_avg", "exp_avg_sq")
{
    private const double Beta1 = 0.9;
    private const double Beta2 = 0.999;
    private const double Epsilon = 1e-8;

    /// <inheritdoc/>
    protected override void Update(int index, Tensor gradient, double rate)
    {
        var parameter = Parameters[index];
        if (decoupled) parameter.Tensor.TimesInPlace(1 - rate * parameter.WeightDecay);
        else gradient = WithDecay(parameter, gradient);
        var mean = Slot("exp_avg", index).TimesInPlace(Beta1).PlusInPlace(gradient, 1 - Beta1);
        var square = Slot("exp_avg_sq", index).TimesInPlace(Beta2).PlusProductInPlace(gradient, gradient, 1 - Beta2);
        var scale = square.sqrt().DividedBy(Math.Sqrt(1 - Math.Pow(Beta2, Steps))).PlusInPlace(Epsilon);
        parameter.Tensor.PlusQuotientInPlace(mean, scale, -rate / (1 - Math.Pow(Beta1, Steps)));
    }

    /// <inheritdoc/>
    protected override void Update(ReadOnlySpan<OptimisedTensor> tensors, double rate) =>
        OptimiserKernels.Best.Adam(tensors, new AdamStep(rate, Steps, decoupled, Beta1, Beta2, Epsilon), TorchWorkers.Instance);
}
