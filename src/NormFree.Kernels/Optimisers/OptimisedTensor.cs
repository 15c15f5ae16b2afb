namespace NormFree.Kernels.Optimisers;

/// <summary>A parameter for an optimiser's step: addresses of <paramref name="Count"/> floats each.</summary>
/// <param name="Parameter">p, changed.</param>
/// <param name="Gradient">g, only read.</param>
/// <param name="Mean">Adam's mean of gradients m, or the momentum buffer b; changed.</param>
/// <param name="Square">Adam's mean of squared gradients v, changed; null for gradient descent.</param>
/// <param name="Count">Values.</param>
/// <param name="WeightDecay">0 for none.</param>
/// <param name="RateFactor">Factor of the learning rate.</param>
public readonly record struct OptimisedTensor(
    nint Parameter, nint Gradient, nint Mean, nint Square, long Count, double WeightDecay, double RateFactor = 1);
