using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>Global average pooling; a task is a range of channels.</summary>
internal sealed unsafe class GlobalAverageStep(PooledClassifier classifier, MapBuffer input, MapBuffer means)
    : Step((classifier.Channels + ChannelsPerTask - 1) / ChannelsPerTask)
{
    private const int ChannelsPerTask = 128;

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var first = task * ChannelsPerTask;
        var count = Math.Min(ChannelsPerTask, classifier.Channels - first);
        var target = means.In(frame);
        classifier.Average(input.Pixels, input.In(frame), first, count, target);
        // Other steps may have used the memory after the last mean.
        if (first + count == classifier.Channels) new Span<float>(target + classifier.Channels, classifier.PaddedChannels - classifier.Channels).Clear();
    }
}

/// <summary>The logits; a task is a range of classes, so that each thread reads its own part of the weights.</summary>
internal sealed unsafe class LogitsStep : Step
{
    /// <summary>Classes whose logits share a cache line: ranges are multiples of it.</summary>
    private const int Group = 16;

    private readonly PooledClassifier classifier;
    private readonly MapBuffer means;
    private readonly RowPartition groups;

    public LogitsStep(PooledClassifier classifier, MapBuffer means, int threads)
        : this(classifier, means, RowPartition.Of((classifier.Classes + Group - 1) / Group, long.MaxValue, threads))
    {
    }

    private LogitsStep(PooledClassifier classifier, MapBuffer means, RowPartition groups) : base(groups.Tasks) =>
        (this.classifier, this.means, this.groups) = (classifier, means, groups);

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var (first, count) = groups[task];
        var end = Math.Min(classifier.Classes, (first + count) * Group);
        classifier.Classify(means.In(frame), first * Group, end - first * Group, frame.Logits);
    }
}
