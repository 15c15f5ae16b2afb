using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using NormFree.Kernels.Threads;
using static TorchSharp.torch;

namespace NormFree.Torch.Native;

/// <summary>Runs kernels on libtorch's thread pool; a second pool would compete with it for the processors.</summary>
public sealed unsafe class TorchWorkers : IWorkers
{
    /// <summary>The only instance: libtorch has one pool.</summary>
    public static TorchWorkers Instance { get; } = new();

    private TorchWorkers() => TorchNative.Ensure();

    /// <inheritdoc/>
    public void Run(int count, Action<int> task)
    {
        if (count <= 1)
        {
            if (count == 1) task(0);
            return;
        }
        var region = new Region(count, task);
        var handle = GCHandle.Alloc(region);
        try
        {
            // One work item per thread. Threads pull tasks from a shared counter, because tasks differ in length.
            var status = ParallelFor(0, Math.Min(count, get_num_threads()), 1, &Work, (void*)GCHandle.ToIntPtr(handle));
            if (status != 0) throw new InvalidOperationException($"libtorch's parallel_for failed with status {status}.");
        }
        finally
        {
            handle.Free();
        }
        if (!region.Failures.IsEmpty) throw new AggregateException(region.Failures);
    }

    [UnmanagedCallersOnly]
    private static void Work(long begin, long end, void* context)
    {
        var region = (Region)GCHandle.FromIntPtr((IntPtr)context).Target!;
        for (var item = begin; item < end; item++) region.Work();
    }

    [DllImport("torch_cpu", EntryPoint = "torch_parallel_for")]
    private static extern int ParallelFor(
        long begin, long end, long grain, delegate* unmanaged<long, long, void*, void> work, void* context);

    private sealed class Region(int count, Action<int> task)
    {
        private int next;

        public System.Collections.Concurrent.ConcurrentQueue<Exception> Failures { get; } = [];

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Work()
        {
            try
            {
                int i;
                while ((i = Interlocked.Increment(ref next) - 1) < count) task(i);
            }
            catch (Exception failure)
            {
                Failures.Enqueue(failure); // an exception that left this frame would kill the process
            }
        }
    }
}
