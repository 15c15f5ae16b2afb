using NormFree.Torch.Native;

namespace NormFree.Torch.Fused;

/// <summary>Shares the pixels of a batch out among libtorch's threads.</summary>
internal static class Pixels
{
    /// <summary>Values of a task: some tens of microseconds of work, and what it writes stays in the second-level cache.</summary>
    private const int ValuesOfTask = 64 << 10;

    /// <summary>How many pixels a task has; sums over pixels are made task by task, so it depends on nothing but the sizes.</summary>
    public static int OfTask(int channels) => Math.Max(1, ValuesOfTask / channels);

    /// <summary>How many tasks there are.</summary>
    public static int Tasks(int pixels, int channels) => (pixels + OfTask(channels) - 1) / OfTask(channels);

    /// <summary>Runs <c>work(first, count)</c> for all pixels.</summary>
    public static void ForEach(int pixels, int channels, Action<int, int> work) =>
        ForEach(pixels, channels, (_, first, count) => work(first, count));

    /// <summary>Runs <c>work(task, first, count)</c> for all pixels.</summary>
    public static void ForEach(int pixels, int channels, Action<int, int, int> work)
    {
        var ofTask = OfTask(channels);
        TorchWorkers.Instance.Run(Tasks(pixels, channels), task =>
        {
            var first = task * ofTask;
            work(task, first, Math.Min(ofTask, pixels - first));
        });
    }
}
