using static TorchSharp.torch;

namespace NormFree.Torch.Training.Optimisers;

/// <summary>A tensor to train.</summary>
/// <param name="Name">Names its state in checkpoints.</param>
/// <param name="Tensor">The tensor; its gradient is read at every step.</param>
/// <param name="WeightDecay">What its group says; 0 for none.</param>
/// <param name="RateFactor">Factor of the learning rate.</param>
public sealed record OptimisedParameter(string Name, Tensor Tensor, double WeightDecay, double RateFactor = 1);
