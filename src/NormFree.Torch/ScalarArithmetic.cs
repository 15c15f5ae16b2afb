using TorchSharp;
using static TorchSharp.torch;

namespace NormFree.Torch;

/// <summary>Sums of tensors, and arithmetic of tensors with plain numbers: use it instead of TorchSharp's operators.</summary>
/// <remarks>
/// TorchSharp 0.107 turns a number into a temporary <see cref="Scalar"/>, even the hidden factor 1 of a sum of two tensors, and does not keep it
/// alive during the native call. A garbage collection at that moment, brought on by any thread, frees it under the call's feet: "Unknown scalar
/// type", or a silently wrong number. Training with loader threads meets this within minutes. Here every scalar lives until its call has returned;
/// a test looks through the compiled libraries for calls that bypass this class.
/// </remarks>
public static class ScalarArithmetic
{
    /// <summary>An integer, which counters take as well as tensors of floating-point numbers.</summary>
    private static readonly Scalar One = 1L.ToScalar();

    private static Tensor With(double value, Func<Scalar, Tensor> call)
    {
        using var scalar = value.ToScalar();
        return call(scalar);
    }

    /// <summary>x·value.</summary>
    public static Tensor Times(this Tensor x, double value) => With(value, scalar => x.mul(scalar));

    /// <summary>x + y.</summary>
    public static Tensor Plus(this Tensor x, Tensor y) => x.add(y, One);

    /// <summary>x + value.</summary>
    public static Tensor Plus(this Tensor x, double value) => With(value, scalar => x.add(scalar, One));

    /// <summary>x / value.</summary>
    public static Tensor DividedBy(this Tensor x, double value) => With(value, scalar => x.div(scalar));

    /// <summary>max(x, least).</summary>
    public static Tensor AtLeast(this Tensor x, double least) => With(least, scalar => x.clamp_min(scalar));

    /// <summary>x limited to least … most.</summary>
    public static Tensor Between(this Tensor x, double least, double most)
    {
        using Scalar low = least.ToScalar(), high = most.ToScalar();
        return x.clamp(low, high);
    }

    /// <summary>Whether x ≥ value, value by value.</summary>
    public static Tensor IsAtLeast(this Tensor x, double value) => With(value, scalar => x.ge(scalar));

    /// <summary>Whether x = value, value by value.</summary>
    public static Tensor IsEqualTo(this Tensor x, double value) => With(value, scalar => x.eq(scalar));

    /// <summary>x ← x·value, in place.</summary>
    public static Tensor TimesInPlace(this Tensor x, double value) => With(value, scalar => x.mul_(scalar));

    /// <summary>x ← x + value, in place.</summary>
    public static Tensor PlusInPlace(this Tensor x, double value) => With(value, scalar => x.add_(scalar, One));

    /// <summary>x ← x + y, in place.</summary>
    public static Tensor PlusInPlace(this Tensor x, Tensor y) => x.add_(y, One);

    /// <summary>x ← x + value·y, in place.</summary>
    public static Tensor PlusInPlace(this Tensor x, Tensor y, double value) => With(value, scalar => x.add_(y, scalar));

    /// <summary>x ← x + value·y·z, in place.</summary>
    public static Tensor PlusProductInPlace(this Tensor x, Tensor y, Tensor z, double value) =>
        With(value, scalar => x.addcmul_(y, z, scalar));

    /// <summary>x ← x + value·y/z, in place.</summary>
    public static Tensor PlusQuotientInPlace(this Tensor x, Tensor y, Tensor z, double value) =>
        With(value, scalar => x.addcdiv_(y, z, scalar));
}
