using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Divides the pixels of a batch into tasks for libtorch's threads.</summary>
internal static class Pixels
{
    /// <summary>Values per task: tens of microseconds of work whose output fits into the L2 cache.</summary>
    private const int ValuesPerTask = 64 << 10;

    /// <summary>Number of tasks. It depends on the sizes alone, so that sums per task do not depend on the number of threads.</summary>
    public static int Tasks(int pixels, int channels) => (pixels + PerTask(channels) - 1) / PerTask(channels);

    /// <summary>Runs <c>work(first, count)</c> for all pixels.</summary>
    public static void ForEach(int pixels, int channels, Action<int, int> work) =>
        ForEach(pixels, channels, (_, first, count) => work(first, count));

    /// <summary>Runs <c>work(task, first, count)</c> for all pixels.</summary>
    public static void ForEach(int pixels, int channels, Action<int, int, int> work)
    {
        var perTask = PerTask(channels);
        TorchWorkers.Instance.Run(Tasks(pixels, channels), task =>
        {
            var first = task * perTask;
            work(task, first, Math.Min(perTask, pixels - first));
        });
    }

    private static int PerTask(int channels) => Math.Max(1, ValuesPerTask / channels);
}

/// <summary>Divides the rows of a batch's maps into bands. A band lies within one image; the last band of an image may be smaller.</summary>
internal readonly struct RowBands(int images, int height, int rowsPerBand)
{
    private readonly int rowsPerBand = Math.Min(rowsPerBand, height);

    private int PerImage => (height + rowsPerBand - 1) / rowsPerBand;

    /// <summary>Number of bands.</summary>
    public int Count => images * PerImage;

    /// <summary>A band's image, first row and number of rows.</summary>
    public (int Image, int Row, int Rows) this[int band]
    {
        get
        {
            var row = band % PerImage * rowsPerBand;
            return (band / PerImage, row, Math.Min(rowsPerBand, height - row));
        }
    }
}

/// <summary>Sums per task, added up in task order: the bits do not depend on the number of threads.</summary>
internal sealed unsafe class PartialSums(int tasks, int length) : IDisposable
{
    private readonly NativeBuffer<float> sums = new((long)tasks * length);

    /// <summary>The buffer for a task's sums.</summary>
    public float* Of(int task) => sums.Pointer + (long)task * length;

    /// <summary>The totals of the sums from <paramref name="first"/> on, as a tensor of the given shape.</summary>
    public Tensor Total(int first, ReadOnlySpan<long> shape)
    {
        var total = empty(shape.ToArray());
        var target = TensorMemory.Floats(total);
        for (var i = 0; i < total.numel(); i++) target[i] = (float)Total(first + i);
        return total;
    }

    /// <summary>The total of one sum.</summary>
    public double Total(int index)
    {
        var sum = 0.0;
        for (var task = 0; task < tasks; task++) sum += Of(task)[index];
        return sum;
    }

    /// <inheritdoc/>
    public void Dispose() => sums.Dispose();
}
