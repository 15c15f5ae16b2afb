namespace NormFree.Kernels.Optimisers;

/// <summary>Values that are only read.</summary>
/// <param name="Values">Address of the floats.</param>
/// <param name="Count">How many.</param>
public readonly record struct FloatTensor(nint Values, long Count);
