using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>The kinds of <see cref="SignEstimator"/>.</summary>
public enum SignEstimatorKind
{
    /// <summary>2 − 2·|t| on [−1, 1), else 0.</summary>
    ApproxSign,

    /// <summary>1 where |t| ≤ bound, else 0.</summary>
    StraightThrough,

    /// <summary>2k·σ(kt)·(1 − σ(kt)).</summary>
    Sigmoid,

    /// <summary>β·(2 − βt·tanh(βt/2))/(1 + cosh(βt)).</summary>
    Swish,

    /// <summary>k·(1 − tanh²(kt)).</summary>
    Tanh,
}

/// <summary>The derivative that replaces that of sign(t) in the backward pass.</summary>
/// <param name="Kind">The function.</param>
/// <param name="Parameter">Its bound, k or β; not used by <see cref="SignEstimatorKind.ApproxSign"/>.</param>
public readonly record struct SignEstimator(SignEstimatorKind Kind, float Parameter)
{
    /// <summary>The Bi-Real Net estimator, Larq's <c>approx_sign</c> (Liu et al., "Bi-Real Net", ECCV 2018, eq. 5–6).</summary>
    public static SignEstimator ApproxSign => default;

    /// <summary>The straight-through estimator (Hubara et al., "Binarized neural networks", NeurIPS 2016).</summary>
    public static SignEstimator StraightThrough(float bound) => new(SignEstimatorKind.StraightThrough, bound);

    /// <summary>The derivative of 2σ(kt) − 1.</summary>
    public static SignEstimator Sigmoid(float k) => new(SignEstimatorKind.Sigmoid, k);

    /// <summary>SignSwish (Darabi et al., "BNN+", 2018).</summary>
    public static SignEstimator Swish(float beta) => new(SignEstimatorKind.Swish, beta);

    /// <summary>The derivative of tanh(kt).</summary>
    public static SignEstimator Tanh(float k) => new(SignEstimatorKind.Tanh, k);
}

/// <summary>A derivative on vectors.</summary>
internal interface ISignSlope
{
    /// <summary>The derivative at each lane of <paramref name="t"/>.</summary>
    static abstract TVector At<TFloats, TVector>(TVector t, float parameter)
        where TFloats : struct, IFloatVectors<TVector>
        where TVector : unmanaged;
}

/// <summary><see cref="SignEstimatorKind.ApproxSign"/>.</summary>
internal readonly struct ApproxSignSlope : ISignSlope
{
    /// <inheritdoc/>
    /// <remarks>2 − 2·|t| is 0 at t = ±1, so it does not matter which ends of the interval are open.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector At<TFloats, TVector>(TVector t, float parameter)
        where TFloats : struct, IFloatVectors<TVector>
        where TVector : unmanaged
    {
        TVector two = TFloats.Broadcast(2), size = TFloats.Abs(t);
        return TFloats.Select(TFloats.LessThan(size, TFloats.Broadcast(1)), TFloats.Subtract(two, TFloats.Multiply(two, size)), TFloats.Broadcast(0));
    }
}

/// <summary><see cref="SignEstimatorKind.StraightThrough"/>.</summary>
internal readonly struct StraightThroughSlope : ISignSlope
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector At<TFloats, TVector>(TVector t, float parameter)
        where TFloats : struct, IFloatVectors<TVector>
        where TVector : unmanaged =>
        TFloats.Select(TFloats.LessThan(TFloats.Broadcast(parameter), TFloats.Abs(t)), TFloats.Broadcast(0), TFloats.Broadcast(1));
}

/// <summary><see cref="SignEstimatorKind.Sigmoid"/>.</summary>
internal readonly struct SigmoidSlope : ISignSlope
{
    /// <inheritdoc/>
    public static TVector At<TFloats, TVector>(TVector t, float parameter)
        where TFloats : struct, IFloatVectors<TVector>
        where TVector : unmanaged =>
        LaneByLane.Map<TFloats, TVector>(t, parameter, static (value, k) =>
        {
            var sigmoid = 1 / (1 + MathF.Exp(-k * value));
            return 2 * k * sigmoid * (1 - sigmoid);
        });
}

/// <summary><see cref="SignEstimatorKind.Swish"/>.</summary>
internal readonly struct SwishSlope : ISignSlope
{
    /// <inheritdoc/>
    public static TVector At<TFloats, TVector>(TVector t, float parameter)
        where TFloats : struct, IFloatVectors<TVector>
        where TVector : unmanaged =>
        LaneByLane.Map<TFloats, TVector>(t, parameter, static (value, beta) =>
        {
            // The derivative is even; cosh overflows for arguments above 89, where it is 0 in float32.
            var scaled = MathF.Min(MathF.Abs(beta * value), 80);
            return beta * (2 - scaled * MathF.Tanh(scaled / 2)) / (1 + MathF.Cosh(scaled));
        });
}

/// <summary><see cref="SignEstimatorKind.Tanh"/>.</summary>
internal readonly struct TanhSlope : ISignSlope
{
    /// <inheritdoc/>
    public static TVector At<TFloats, TVector>(TVector t, float parameter)
        where TFloats : struct, IFloatVectors<TVector>
        where TVector : unmanaged =>
        LaneByLane.Map<TFloats, TVector>(t, parameter, static (value, k) =>
        {
            var tanh = MathF.Tanh(k * value);
            return k * (1 - tanh * tanh);
        });
}

/// <summary>Functions without vector instructions.</summary>
internal static unsafe class LaneByLane
{
    /// <summary>The function's value at each lane. The function gets the parameter as an argument, so that it captures nothing.</summary>
    public static TVector Map<TFloats, TVector>(TVector x, float parameter, Func<float, float, float> function)
        where TFloats : struct, IFloatVectors<TVector>
        where TVector : unmanaged
    {
        var lanes = stackalloc float[TFloats.Lanes];
        TFloats.Store(x, lanes);
        for (var lane = 0; lane < TFloats.Lanes; lane++) lanes[lane] = function(lanes[lane], parameter);
        return TFloats.Load(lanes);
    }
}
