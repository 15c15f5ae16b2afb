namespace NormFree.Kernels.Activations;

/// <summary>An RPReLU's parameters in memory: shift, slope, shift of every channel.</summary>
/// <param name="channels">How many channels.</param>
/// <param name="shiftIn">b₁.</param>
/// <param name="slope">Factor of negative values.</param>
/// <param name="shiftOut">b₂.</param>
public readonly unsafe struct RPReLUParameters(int channels, float* shiftIn, float* slope, float* shiftOut)
{
    /// <summary>How many channels.</summary>
    public int Channels { get; } = channels;

    /// <summary>b₁, one a channel.</summary>
    public float* ShiftIn { get; } = shiftIn;

    /// <summary>Factor of negative values, one a channel.</summary>
    public float* Slope { get; } = slope;

    /// <summary>b₂, one a channel.</summary>
    public float* ShiftOut { get; } = shiftOut;
}
