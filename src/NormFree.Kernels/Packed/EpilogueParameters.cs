namespace NormFree.Kernels.Packed;

/// <summary>A binary layer's numbers in memory, one of each a channel of its output.</summary>
/// <param name="channels">How many channels.</param>
/// <param name="scale">Factor of the convolution's counts.</param>
/// <param name="bias">Added to them.</param>
/// <param name="slope">Factor of negative values.</param>
/// <param name="shift">Added last.</param>
public readonly unsafe struct EpilogueParameters(int channels, float* scale, float* bias, float* slope, float* shift)
{
    /// <summary>How many channels.</summary>
    public int Channels { get; } = channels;

    /// <summary>Factor of the convolution's counts.</summary>
    public float* Scale { get; } = scale;

    /// <summary>Added to them.</summary>
    public float* Bias { get; } = bias;

    /// <summary>Factor of negative values.</summary>
    public float* Slope { get; } = slope;

    /// <summary>Added last.</summary>
    public float* Shift { get; } = shift;
}
