using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>One run of a fused layer: its inputs, its forward pass, and the state that its backward pass needs.</summary>
internal interface IFusedCall : IDisposable
{
    /// <summary>The layer's name in profiles and messages.</summary>
    string Key { get; }

    /// <summary>The tensors that gradients are computed for.</summary>
    IReadOnlyList<Tensor> Inputs { get; }

    /// <summary>Computes the output.</summary>
    /// <param name="keep">Keeps what <see cref="Backward"/> needs.</param>
    Tensor Forward(bool keep);

    /// <summary>The gradient of every input, in the order of <see cref="Inputs"/>; frees the state.</summary>
    IReadOnlyList<Tensor> Backward(Tensor gradient);
}
