namespace NormFree.Kernels.Activations;

/// <summary>What <see cref="ResidualActivation"/>'s backward pass reads and writes.</summary>
internal readonly unsafe struct BackwardMaps(
    int pixels, float* sum, float* resultGradient, float* sumGradient, float* parameterGradients)
{
    public readonly int Pixels = pixels;
    public readonly float* Sum = sum;
    public readonly float* ResultGradient = resultGradient;
    public readonly float* SumGradient = sumGradient;
    public readonly float* ParameterGradients = parameterGradients;

    /// <summary>Some of the pixels, of maps with so many channels.</summary>
    public BackwardMaps Slice(int first, int pixels, int channels)
    {
        var offset = (nint)first * channels;
        return new BackwardMaps(pixels, Sum + offset, ResultGradient + offset, SumGradient + offset, ParameterGradients);
    }
}
