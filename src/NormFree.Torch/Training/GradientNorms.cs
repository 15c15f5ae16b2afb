using System.Runtime.InteropServices;
using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training;

/// <summary>Norms of gradients: by them a training notices numbers that are not finite, and gradients that explode.</summary>
public static class GradientNorms
{
    /// <summary>‖g‖ of every parameter; 0 for one without a gradient.</summary>
    /// <remarks>Floats in the processor's memory go through one pass of our kernels, which reads each value once; others through torch.</remarks>
    /// <param name="parameters">The parameters.</param>
    /// <returns>One norm a parameter: not finite where a value of the gradient is not, or where a value's square is beyond a float.</returns>
    public static double[] Of(IReadOnlyList<Tensor> parameters)
    {
        using var scope = NewDisposeScope(); // keeps the gradients alive
        using var noGrad = no_grad();
        var norms = new double[parameters.Count];
        var (plain, places) = (new List<FloatTensor>(), new List<int>());
        for (var i = 0; i < parameters.Count; i++)
        {
            if (parameters[i].grad is not { } gradient) continue;
            if (TensorMemory.IsFloatsOnCpu(gradient) && gradient.is_contiguous())
            {
                places.Add(i);
                plain.Add(Floats(gradient));
            }
            else norms[i] = gradient.norm().to(ScalarType.Float64).item<double>();
        }
        var found = OptimiserKernels.Best.Norms(CollectionsMarshal.AsSpan(plain), TorchWorkers.Instance);
        for (var i = 0; i < places.Count; i++) norms[places[i]] = found[i];
        return norms;
    }

    private static unsafe FloatTensor Floats(Tensor tensor) => new((nint)TensorMemory.Floats(tensor), tensor.numel());
}
