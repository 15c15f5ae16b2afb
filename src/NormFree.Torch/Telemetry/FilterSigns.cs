using static TorchSharp.torch;

namespace NormFree.Torch.Telemetry;

/// <summary>The signs of a convolution's filters: of what is binarised, or would be, where weights are still real.</summary>
public static class FilterSigns
{
    /// <summary>The signs of the weights, or of the standardised weights; sign(0) counts as +1.</summary>
    /// <remarks>Standardising divides by a positive number, which turns no sign: it is left out.</remarks>
    /// <param name="weight">O×I×k×k.</param>
    /// <param name="standardised">Whether the convolution standardises its filters.</param>
    /// <returns>O×I×k×k booleans, true for +1.</returns>
    public static Tensor Of(Tensor weight, bool standardised)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var binarised = standardised ? weight - weight.mean([1, 2, 3], keepdim: true) : weight;
        return binarised.IsAtLeast(0).MoveToOuterDisposeScope();
    }

    /// <summary>How many signs are not the same.</summary>
    /// <param name="before">Booleans.</param>
    /// <param name="after">As many.</param>
    public static long Flips(Tensor before, Tensor after)
    {
        using var scope = NewDisposeScope();
        return before.ne(after).count_nonzero().item<long>();
    }
}
