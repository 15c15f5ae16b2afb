using NormFree.Kernels.Optimisers;
using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>AdamP: Adam whose steps do not lengthen scale-invariant weights (Heo et al., "AdamP: Slowing Down the Slowdown for Momentum Optimizers on
/// Scale-invariant Weights", ICLR 2021, algorithm 2), with β = (0.9, 0.999), ε = 1e-8, δ = 0.1 and a weight decay ratio of 0.1.</summary>
/// <remarks>
/// <para>Adam's step is q = m̂/(√v̂ + ε). If |cos(w, g)| is below δ/√n for every filter of n weights, the weights count as scale-invariant: the part of q
/// along each filter is removed, and weight decay is a tenth. If not, the same is tried for the whole tensor as one vector. Tensors of one dimension
/// take Adam's step.</para>
/// <para>Weight decay is decoupled: w ← w·(1 − rate·decay). Torch's operators compute it; there is no kernel.</para>
/// </remarks>
/// <param name="parameters">The parameters to train.</param>
public sealed class AdamP(IReadOnlyList<OptimisedParameter> parameters) : ParameterOptimiser(parameters, "exp_avg", "exp_avg_sq")
{
    private const double Beta1 = 0.9;
    private const double Beta2 = 0.999;
    private const double Epsilon = 1e-8;
    private const double Delta = 0.1;
    private const double DecayRatio = 0.1;

    /// <inheritdoc/>
    protected override bool HasKernels => false;

    /// <inheritdoc/>
    protected override void Update(int index, Tensor gradient, double rate)
    {
        var parameter = Parameters[index];
        var weights = parameter.Tensor.detach();
        var mean = Slot("exp_avg", index).TimesInPlace(Beta1).PlusInPlace(gradient, 1 - Beta1);
        var square = Slot("exp_avg_sq", index).TimesInPlace(Beta2).PlusProductInPlace(gradient, gradient, 1 - Beta2);
        var scale = square.sqrt().DividedBy(Math.Sqrt(1 - Math.Pow(Beta2, Steps))).PlusInPlace(Epsilon);
        var step = mean.DividedBy(1 - Math.Pow(Beta1, Steps)).div(scale);

        var projected = weights.dim() > 1 ? Project(weights, gradient, step) : null;
        var decay = parameter.WeightDecay * (projected is null ? 1 : DecayRatio);
        parameter.Tensor.TimesInPlace(1 - rate * decay).PlusInPlace(projected ?? step, -rate);
    }

    /// <summary>The step without its part along the weights, filter by filter or for the whole tensor; null if the weights are not scale-invariant.</summary>
    private static Tensor? Project(Tensor weights, Tensor gradient, Tensor step)
    {
        foreach (var rows in (ReadOnlySpan<long>)[weights.shape[0], 1])
        {
            var (w, g, q) = (weights.reshape(rows, -1), gradient.reshape(rows, -1), step.reshape(rows, -1));
            var cosine = (w * g).sum(1L).abs().div(Length(w) * Length(g));
            if (cosine.max().to(ScalarType.Float64).item<double>() >= Delta / Math.Sqrt(w.shape[1])) continue;
            var direction = w.div(Length(w).unsqueeze(1));
            return q.Plus((direction * (direction * q).sum(1, keepdim: true)).neg()).reshape(step.shape);
        }
        return null;
    }

    private static Tensor Length(Tensor rows) => (rows * rows).sum(1L).sqrt().PlusInPlace(Epsilon);

    /// <inheritdoc/>
    protected override void Update(ReadOnlySpan<OptimisedTensor> tensors, double rate)
    {
    }
}
