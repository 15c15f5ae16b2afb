using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Optimisers;

/// <summary>Gradient descent with Nesterov's momentum: see <see cref="OptimiserKernels.Descend"/>.</summary>
internal readonly unsafe struct DescentUpdate<TFloats, TVector>(double rate, double momentum, double decay) : IUpdate
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    private readonly TVector added = TFloats.Broadcast((float)decay);
    private readonly TVector momenta = TFloats.Broadcast((float)momentum);
    private readonly TVector alongGradient = TFloats.Broadcast((float)-rate);
    private readonly TVector alongBuffer = TFloats.Broadcast((float)(-rate * momentum));

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Apply(float* parameter, float* gradient, float* mean, float* square)
    {
        var p = TFloats.Load(parameter);
        var g = TFloats.MultiplyAdd(added, p, TFloats.Load(gradient));
        var b = TFloats.MultiplyAdd(momenta, TFloats.Load(mean), g);
        TFloats.Store(b, mean);
        TFloats.Store(TFloats.MultiplyAdd(alongBuffer, b, TFloats.MultiplyAdd(alongGradient, g, p)), parameter);
    }
}
