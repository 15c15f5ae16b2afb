using TorchSharp;
using static TorchSharp.torch;

namespace NormFree.Torch.Training;

/// <summary>The losses of the paper: scalar means over the batch, in nats.</summary>
public static class Losses
{
    /// <summary>Cross entropy: −log softmax(logits)[label].</summary>
    /// <param name="logits">N×K.</param>
    /// <param name="labels">N class indices (int64), from 0 to K − 1; or N×K shares of the classes, as of mixed images.</param>
    /// <returns>The mean over the batch, a scalar tensor.</returns>
    public static Tensor CrossEntropy(Tensor logits, Tensor labels) => nn.functional.cross_entropy(logits, labels);

    /// <summary>Cross entropy with the target (1 − ε)·onehot + ε/K (Szegedy et al., CVPR 2016, section 7).</summary>
    /// <param name="logits">N×K.</param>
    /// <param name="labels">N class indices (int64), from 0 to K − 1; or N×K shares of the classes.</param>
    /// <param name="epsilon">ε, from 0 (plain cross entropy) to 1.</param>
    /// <returns>The mean over the batch, a scalar tensor.</returns>
    public static Tensor LabelSmoothing(Tensor logits, Tensor labels, double epsilon)
    {
        using var scope = NewDisposeScope();
        var logProbabilities = nn.functional.log_softmax(logits, 1);
        var ofLabel = labels.dim() == 2
            ? (labels * logProbabilities).sum(1L).mean()
            : logProbabilities.gather(1, labels.unsqueeze(1)).mean();
        var ofAll = logProbabilities.mean(); // mean over batch and classes: 1/K of the sum over classes
        return (ofLabel.Times(epsilon - 1) - ofAll.Times(epsilon)).MoveToOuterDisposeScope();
    }

    /// <summary>Distillation: −Σ softmax(teacher)·log softmax(student), with temperature 1 and without labels.</summary>
    /// <remarks>The soft cross entropy, as published. It differs from the Kullback–Leibler divergence by the teacher's entropy, which has no gradient.</remarks>
    /// <param name="student">Logits, N×K.</param>
    /// <param name="teacher">Logits, N×K; no gradient flows into them.</param>
    /// <returns>The mean over the batch, a scalar tensor.</returns>
    public static Tensor Distillation(Tensor student, Tensor teacher)
    {
        using var scope = NewDisposeScope();
        var target = nn.functional.softmax(teacher.detach(), 1);
        var logProbabilities = nn.functional.log_softmax(student, 1);
        return (target * logProbabilities).sum(1L).mean().neg().MoveToOuterDisposeScope();
    }
}
