namespace NormFree.Kernels.Optimisers;

/// <summary>A parameter whose gradient is to be clipped, unit by unit.</summary>
/// <param name="Parameter">Address of p: <paramref name="Units"/>×<paramref name="UnitSize"/> floats, only read.</param>
/// <param name="Gradient">Address of g, likewise; changed.</param>
/// <param name="Units">Entries of the first axis (filters), or 1 for vectors.</param>
/// <param name="UnitSize">Values of a unit.</param>
public readonly record struct ClippedTensor(nint Parameter, nint Gradient, int Units, int UnitSize);
