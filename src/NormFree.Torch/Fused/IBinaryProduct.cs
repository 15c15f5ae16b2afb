using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>The product of a binary input with filters, real or binary.</summary>
internal interface IBinaryProduct
{
    /// <summary>Computes the convolution and hands it to who goes on with it.</summary>
    void Forward(IProductReader reader);

    /// <summary>The gradient of x, and of the shift before the sign.</summary>
    /// <param name="du">The gradient of the convolution's result, channels-last.</param>
    /// <param name="shortcuts">How often x is in a shortcut whose gradient is also <paramref name="du"/>; 0 where it is not.</param>
    (Tensor OfInput, Tensor OfShift) InputGradient(Tensor du, int shortcuts);
}
