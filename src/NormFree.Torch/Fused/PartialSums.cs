using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

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
