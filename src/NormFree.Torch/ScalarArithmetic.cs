using TorchSharp;
using static TorchSharp.torch;

namespace NormFree.Torch;

/// <summary>Tensor + tensor and tensor–number arithmetic that replaces TorchSharp's operators, which are not safe under garbage collection.</summary>
/// <remarks>
/// TorchSharp 0.107 converts a number (even the implicit factor 1 of tensor + tensor) to a temporary <see cref="Scalar"/> that it does not keep alive
/// during the native call. A garbage collection on any thread at that moment frees it, which causes "Unknown scalar type" errors or silently wrong
/// numbers. Training with loader threads hits this within minutes. Here every scalar lives until its call has returned. A test scans the compiled
/// assemblies for calls that bypass this class.
/// </remarks>
public static class ScalarArithmetic
{
    /// <summary>An integer, so that it also works on integer tensors.</summary>
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

    /// <summary>max(x, least), elementwise.</summary>
    public static Tensor AtLeast(this Tensor x, double least) => With(least, scalar => x.clamp_min(scalar));

    /// <summary>x clamped to [least, most].</summary>
    public static Tensor Between(this Tensor x, double least, double most)
    {
        using Scalar low = least.ToScalar(), high = most.ToScalar();
        return x.clamp(low, high);
    }

    /// <summary>x ≥ value, elementwise.</summary>
    public static Tensor IsAtLeast(this Tensor x, double value) => With(value, scalar => x.ge(scalar));

    /// <summary>x = value, elementwise.</summary>
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
