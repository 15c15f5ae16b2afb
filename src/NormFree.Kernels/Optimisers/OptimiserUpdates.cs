using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Optimisers;

/// <summary>The update formula of an optimiser for one vector of values, with its constants broadcast once.</summary>
internal unsafe interface IUpdate
{
    /// <summary>Updates one vector at four addresses: parameter, gradient (read-only), mean and square.</summary>
    void Apply(float* parameter, float* gradient, float* mean, float* square);
}

/// <summary>Hyperparameters of one Adam step.</summary>
/// <param name="LearningRate">Learning rate.</param>
/// <param name="Step">t, starting at 1.</param>
/// <param name="Decoupled">AdamW: weight decay multiplies the parameter by 1 − rate·decay. Otherwise decay·p is added to the gradient.</param>
/// <param name="Beta1">β₁.</param>
/// <param name="Beta2">β₂.</param>
/// <param name="Epsilon">ε.</param>
public readonly record struct AdamStep(double LearningRate, long Step, bool Decoupled, double Beta1, double Beta2, double Epsilon);

/// <summary>Adam and AdamW; see <see cref="OptimiserKernels.Adam"/>.</summary>
internal readonly unsafe struct AdamUpdate<TFloats, TVector>(AdamStep step, double decay) : IUpdate
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private readonly TVector decayFactor = TFloats.Broadcast(step.Decoupled ? (float)(1 - step.LearningRate * decay) : 1);
    private readonly TVector l2Decay = TFloats.Broadcast(step.Decoupled ? 0 : (float)decay);
    private readonly TVector beta1 = TFloats.Broadcast((float)step.Beta1);
    private readonly TVector rest1 = TFloats.Broadcast((float)(1 - step.Beta1));
    private readonly TVector beta2 = TFloats.Broadcast((float)step.Beta2);
    private readonly TVector rest2 = TFloats.Broadcast((float)(1 - step.Beta2));
    private readonly TVector rootScale = TFloats.Broadcast((float)(1 / Math.Sqrt(1 - Math.Pow(step.Beta2, step.Step))));
    private readonly TVector epsilon = TFloats.Broadcast((float)step.Epsilon);
    private readonly TVector rate = TFloats.Broadcast((float)(-step.LearningRate / (1 - Math.Pow(step.Beta1, step.Step))));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Apply(float* parameter, float* gradient, float* mean, float* square)
    {
        var p = TFloats.Load(parameter);
        var g = TFloats.MultiplyAdd(l2Decay, p, TFloats.Load(gradient));
        var m = TFloats.MultiplyAdd(beta1, TFloats.Load(mean), TFloats.Multiply(rest1, g));
        var v = TFloats.MultiplyAdd(beta2, TFloats.Load(square), TFloats.Multiply(rest2, TFloats.Multiply(g, g)));
        var root = TFloats.MultiplyAdd(TFloats.SquareRoot(v), rootScale, epsilon);
        TFloats.Store(m, mean);
        TFloats.Store(v, square);
        TFloats.Store(TFloats.MultiplyAdd(rate, TFloats.Divide(m, root), TFloats.Multiply(decayFactor, p)), parameter);
    }
}

/// <summary>SGD with Nesterov momentum; see <see cref="OptimiserKernels.Sgd"/>.</summary>
internal readonly unsafe struct SgdUpdate<TFloats, TVector>(double rate, double momentum, double decay) : IUpdate
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private readonly TVector l2Decay = TFloats.Broadcast((float)decay);
    private readonly TVector momentumFactor = TFloats.Broadcast((float)momentum);
    private readonly TVector gradientStep = TFloats.Broadcast((float)-rate);
    private readonly TVector bufferStep = TFloats.Broadcast((float)(-rate * momentum));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Apply(float* parameter, float* gradient, float* mean, float* square)
    {
        var p = TFloats.Load(parameter);
        var g = TFloats.MultiplyAdd(l2Decay, p, TFloats.Load(gradient));
        var b = TFloats.MultiplyAdd(momentumFactor, TFloats.Load(mean), g);
        TFloats.Store(b, mean);
        TFloats.Store(TFloats.MultiplyAdd(bufferStep, b, TFloats.MultiplyAdd(gradientStep, g, p)), parameter);
    }
}
