using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>The logits, some classes a task: each thread reads its part of the weights.</summary>
internal sealed unsafe class LogitsStep : Step
{
    private readonly PooledClassifier classifier;
    private readonly MapPlace means;
    private readonly RowCut cut;

    public LogitsStep(PooledClassifier classifier, MapPlace means, int threads) : this(
        classifier, means, RowCut.Of((classifier.Classes + Group - 1) / Group, long.MaxValue, threads))
    {
    }

    private LogitsStep(PooledClassifier classifier, MapPlace means, RowCut cut) : base(cut.Tasks) =>
        (this.classifier, this.means, this.cut) = (classifier, means, cut);

    /// <summary>Classes are counted by the cache line of their logits.</summary>
    private const int Group = 16;

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = cut[task];
        var end = Math.Min(classifier.Classes, (first + count) * Group);
        classifier.Classify(means.In(frame), first * Group, end - first * Group, frame.Logits);
    }
}
