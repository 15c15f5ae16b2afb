using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

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

/// <summary>The rows of a batch's maps, shared out in bands: each image has its own, the last of which may be lower.</summary>
internal readonly struct RowBands(int images, int height, int rowsOfBand)
{
    private readonly int rowsOfBand = Math.Min(rowsOfBand, height);

    private int OfImage => (height + rowsOfBand - 1) / rowsOfBand;

    /// <summary>How many bands there are.</summary>
    public int Count => images * OfImage;

    /// <summary>A band's image, first row and number of rows.</summary>
    public (int Image, int Row, int Rows) this[int band]
    {
        get
        {
            var row = band % OfImage * rowsOfBand;
            return (band / OfImage, row, Math.Min(rowsOfBand, height - row));
        }
    }
}

/// <summary>Sums over pixels that tasks make for themselves, added up in the order of the tasks: the same bits whatever the threads.</summary>
internal sealed unsafe class PartialSums(int tasks, int length) : IDisposable
{
    private readonly NativeBuffer<float> sums = new((long)tasks * length);

    /// <summary>Where a task writes its sums.</summary>
    public float* Of(int task) => sums.Pointer + (long)task * length;

    /// <summary>The total of a part of the sums, as a tensor of that shape.</summary>
    public Tensor Total(int first, ReadOnlySpan<long> shape)
    {
        var total = empty(shape.ToArray());
        var target = TensorMemory.Floats(total);
        for (var i = 0; i < total.numel(); i++)
        {
            var sum = 0.0;
            for (var task = 0; task < tasks; task++) sum += Of(task)[first + i];
            target[i] = (float)sum;
        }
        return total;
    }

    /// <inheritdoc/>
    public void Dispose() => sums.Dispose();
}
