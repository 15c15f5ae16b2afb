using System.Runtime.InteropServices;
using NormFree.Kernels.Optimisers;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Training;

/// <summary>Adaptive gradient clipping (AGC): bounds each unit's gradient by a fraction of the unit's own norm.</summary>
/// <remarks>
/// Per unit: if ‖g‖ ≥ max(‖p‖, 1e-3)·λ then g ← g·max(‖p‖, 1e-3)·λ / max(‖g‖, 1e-6). A unit is one entry of the first axis (a filter) for tensors
/// of two and more dimensions, the whole tensor for vectors. Brock et al., "High-performance large-scale image recognition without normalization"
/// (ICML 2021), eq. 3; the limits are those of timm's implementation, which the published code copies.
/// </remarks>
public static class AdaptiveGradientClipping
{
    /// <summary>What a unit's own norm counts as at least.</summary>
    public const double SmallestParameterNorm = 1e-3;

    private const double SmallestGradientNorm = 1e-6;

    /// <summary>Clips the gradients of many parameters in place, as <see cref="Clip(Tensor, double)"/> does each of them.</summary>
    /// <remarks>
    /// Contiguous floats in the processor's memory go through one pass of our kernels; others, on another device or of another type, tensor by
    /// tensor through torch.
    /// </remarks>
    /// <param name="parameters">Which ones are clipped is the recipe's affair; the published one leaves out the classifier.</param>
    /// <param name="factor">λ, positive; the paper uses 0.02.</param>
    /// <returns>For each parameter how many units there were, and how many were clipped; none for one without a gradient.</returns>
    public static ClipCount[] Clip(IReadOnlyList<Tensor> parameters, double factor)
    {
        using var scope = NewDisposeScope(); // keeps the gradients alive
        var counts = new ClipCount[parameters.Count];
        var (plain, places) = (new List<ClippedTensor>(), new List<int>());
        for (var i = 0; i < parameters.Count; i++)
        {
            var parameter = parameters[i];
            if (parameter.grad is not { } gradient) continue;
            if (TensorMemory.IsPlain(parameter) && TensorMemory.IsPlain(gradient))
            {
                places.Add(i);
                plain.Add(Clipped(parameter, gradient));
            }
            else counts[i] = Clip(parameter, factor);
        }
        var clipped = OptimiserKernels.Best.Clip(CollectionsMarshal.AsSpan(plain), factor, TorchWorkers.Instance);
        for (var i = 0; i < places.Count; i++) counts[places[i]] = new ClipCount(plain[i].Units, clipped[i]);
        GC.KeepAlive(parameters);
        return counts;
    }

    /// <summary>Clips a parameter's gradient in place, with torch; one without a gradient stays as it is.</summary>
    /// <param name="parameter">Which ones are clipped is the recipe's affair; the published one leaves out the classifier.</param>
    /// <param name="factor">λ, positive; the paper uses 0.02.</param>
    /// <returns>How many units there were, and how many were clipped.</returns>
    public static ClipCount Clip(Tensor parameter, double factor)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        if (parameter.grad is not { } gradient) return default;
        var limit = UnitNorm(parameter).AtLeast(SmallestParameterNorm).Times(factor);
        var norm = UnitNorm(gradient);
        var clipped = norm.ge(limit);
        var scale = where(clipped, limit / norm.AtLeast(SmallestGradientNorm), ones_like(limit));
        gradient.mul_(scale);
        return new ClipCount(clipped.numel(), clipped.sum().item<long>());
    }

    /// <summary>The norm of every unit of a parameter or of its gradient.</summary>
    /// <param name="tensor">Any shape and type.</param>
    public static double[] UnitNorms(Tensor tensor)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return UnitNorm(tensor).to(ScalarType.Float64).cpu().reshape(-1).data<double>().ToArray();
    }

    private static unsafe ClippedTensor Clipped(Tensor parameter, Tensor gradient)
    {
        var units = parameter.dim() <= 1 ? 1 : parameter.size(0);
        var size = units == 0 ? 0 : parameter.numel() / units;
        return new ClippedTensor((nint)TensorMemory.Floats(parameter), (nint)TensorMemory.Floats(gradient), (int)units, (int)size);
    }

    /// <summary>The norm of every unit, shaped to be multiplied with the tensor.</summary>
    private static Tensor UnitNorm(Tensor tensor)
    {
        var squares = tensor * tensor;
        if (tensor.dim() <= 1) return squares.sum().sqrt();
        var rest = Enumerable.Range(1, (int)tensor.dim() - 1).Select(axis => (long)axis).ToArray();
        return squares.sum(rest, keepdim: true).sqrt();
    }
}

/// <summary>How many units a clipping looked at, and how many of them it clipped.</summary>
public readonly record struct ClipCount(long Units, long Clipped)
{
    /// <summary>Adds two counts.</summary>
    public static ClipCount operator +(ClipCount a, ClipCount b) => new(a.Units + b.Units, a.Clipped + b.Clipped);

    /// <summary>Share of clipped units, from 0 to 1; 0 where there are no units.</summary>
    public double Fraction => Units == 0 ? 0 : (double)Clipped / Units;
}
