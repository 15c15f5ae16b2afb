using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>Each channel's mean, some channels a task.</summary>
internal sealed unsafe class AverageStep(PooledClassifier classifier, MapPlace map, MapPlace means)
    : Step((classifier.Channels + ChannelsOfTask - 1) / ChannelsOfTask)
{
    private const int ChannelsOfTask = 128;

    /// <inheritdoc/>
    public override void Run(int task, in Frame frame)
    {
        var first = task * ChannelsOfTask;
        var count = Math.Min(ChannelsOfTask, classifier.Channels - first);
        var target = means.In(frame);
        classifier.Average(map.Pixels, map.In(frame), first, count, target);
        // Other steps may have used the memory behind the last mean.
        if (first + count == classifier.Channels) new Span<float>(target + classifier.Channels, classifier.PaddedChannels - classifier.Channels).Clear();
    }
}
