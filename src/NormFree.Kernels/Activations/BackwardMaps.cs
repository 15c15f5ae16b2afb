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
}
