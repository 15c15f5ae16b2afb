using System.Runtime.InteropServices;
using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training;

/// <summary>Gradient norms, which reveal NaN, infinity and exploding gradients.</summary>
public static class GradientNorms
{
    /// <summary>‖g‖ of every parameter; 0 for a parameter without a gradient.</summary>
    /// <remarks>NormFree's kernels read contiguous float gradients on the CPU in one pass; torch computes the other norms.</remarks>
    /// <param name="parameters">The parameters.</param>
    /// <returns>One norm per parameter: NaN or infinity if the gradient holds either, or if the square of a value overflows a float.</returns>
    public static double[] Of(IReadOnlyList<Tensor> parameters)
    {
        using var scope = NewDisposeScope(); // keeps the gradients alive
        using var noGrad = no_grad();
        var norms = new double[parameters.Count];
        var (tensors, indices) = (new List<FloatTensor>(), new List<int>());
        for (var i = 0; i < parameters.Count; i++)
        {
            if (parameters[i].grad is not { } gradient) continue;
            if (TensorMemory.IsContiguousFloats(gradient))
            {
                indices.Add(i);
                tensors.Add(ForKernels(gradient));
            }
            else norms[i] = gradient.norm().to(ScalarType.Float64).item<double>();
        }
        var found = OptimiserKernels.Best.Norms(CollectionsMarshal.AsSpan(tensors), TorchWorkers.Instance);
        for (var i = 0; i < indices.Count; i++) norms[indices[i]] = found[i];
        return norms;
    }

    private static unsafe FloatTensor ForKernels(Tensor tensor) => new((nint)TensorMemory.Floats(tensor), tensor.numel());
}
