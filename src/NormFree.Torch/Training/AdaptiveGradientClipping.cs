using System.Runtime.InteropServices;
using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training;

/// <summary>Adaptive gradient clipping (AGC): bounds the norm of each unit's gradient by a fraction λ of the norm of its parameters.</summary>
/// <remarks>
/// Per unit, with p_min and g_min from <see cref="AgcLimits"/>: if ‖g‖ ≥ max(‖p‖, p_min)·λ then g ← g·max(‖p‖, p_min)·λ / max(‖g‖, g_min). A unit is
/// one entry of the first axis (a filter) for tensors of two or more dimensions, and the whole tensor for vectors. Brock et al., "High-performance
/// large-scale image recognition without normalization" (ICML 2021), eq. 3.
/// </remarks>
public static class AdaptiveGradientClipping
{
    /// <summary>Clips the gradients of many parameters in place. The result equals <see cref="Clip(Tensor, double)"/> on each of them.</summary>
    /// <remarks>NormFree's kernels clip contiguous float tensors on the CPU; torch clips the others one by one.</remarks>
    /// <param name="parameters">The parameters to clip. The recipe selects them; the published one omits the classifier.</param>
    /// <param name="factor">λ, positive.</param>
    /// <returns>For each parameter the number of units and of clipped units; zeros for a parameter without a gradient.</returns>
    public static ClipCount[] Clip(IReadOnlyList<Tensor> parameters, double factor)
    {
        using var scope = NewDisposeScope(); // keeps the gradients alive
        var counts = new ClipCount[parameters.Count];
        var (tensors, indices) = (new List<ClippedTensor>(), new List<int>());
        for (var i = 0; i < parameters.Count; i++)
        {
            var parameter = parameters[i];
            if (parameter.grad is not { } gradient) continue;
            if (TensorMemory.IsContiguousFloats(parameter) && TensorMemory.IsContiguousFloats(gradient))
            {
                indices.Add(i);
                tensors.Add(ForKernels(parameter, gradient));
            }
            else counts[i] = Clip(parameter, factor);
        }
        var clipped = OptimiserKernels.Best.Clip(CollectionsMarshal.AsSpan(tensors), factor, TorchWorkers.Instance);
        for (var i = 0; i < indices.Count; i++) counts[indices[i]] = new ClipCount(tensors[i].Units, clipped[i]);
        GC.KeepAlive(parameters);
        return counts;
    }

    /// <summary>Clips one parameter's gradient in place, with torch. Does nothing if there is no gradient.</summary>
    /// <param name="parameter">The parameter.</param>
    /// <param name="factor">λ, positive.</param>
    /// <returns>The number of units and of clipped units.</returns>
    public static ClipCount Clip(Tensor parameter, double factor)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        if (parameter.grad is not { } gradient) return default;
        var limit = UnitNorm(parameter).AtLeast(AgcLimits.MinParameterNorm).Times(factor);
        var norm = UnitNorm(gradient);
        var clipped = norm.ge(limit);
        var scale = where(clipped, limit / norm.AtLeast(AgcLimits.MinGradientNorm), ones_like(limit));
        gradient.mul_(scale);
        return new ClipCount(clipped.numel(), clipped.sum().item<long>());
    }

    /// <summary>The norm of every unit of a parameter or gradient.</summary>
    /// <param name="tensor">Any shape and floating-point type.</param>
    /// <returns>One norm per unit: one for each entry of the first axis, in its order; one value for a vector or scalar.</returns>
    public static double[] UnitNorms(Tensor tensor)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return TensorMemory.Doubles(UnitNorm(tensor));
    }

    private static unsafe ClippedTensor ForKernels(Tensor parameter, Tensor gradient)
    {
        var units = parameter.dim() <= 1 ? 1 : parameter.size(0);
        var size = units == 0 ? 0 : parameter.numel() / units;
        return new ClippedTensor((nint)TensorMemory.Floats(parameter), (nint)TensorMemory.Floats(gradient), (int)units, (int)size);
    }

    /// <summary>The norm of every unit, in a shape that broadcasts over the tensor.</summary>
    private static Tensor UnitNorm(Tensor tensor)
    {
        var squares = tensor * tensor;
        if (tensor.dim() <= 1) return squares.sum().sqrt();
        var rest = Enumerable.Range(1, (int)tensor.dim() - 1).Select(axis => (long)axis).ToArray();
        return squares.sum(rest, keepdim: true).sqrt();
    }
}

/// <summary>The number of units and of clipped units.</summary>
public readonly record struct ClipCount(long Units, long Clipped)
{
    /// <summary>Adds two counts.</summary>
    public static ClipCount operator +(ClipCount a, ClipCount b) => new(a.Units + b.Units, a.Clipped + b.Clipped);

    /// <summary>Fraction of clipped units, from 0 to 1; 0 if there are no units.</summary>
    public double Fraction => Units == 0 ? 0 : (double)Clipped / Units;
}
