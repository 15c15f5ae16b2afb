namespace NormFree.Kernels.Optimisers;

/// <summary>An optimiser's formula for one vector of values; its constants are broadcast once for many of them.</summary>
internal unsafe interface IUpdate
{
    /// <summary>Updates the values at four addresses: parameter, gradient (only read), mean and square.</summary>
    void Apply(float* parameter, float* gradient, float* mean, float* square);
}
