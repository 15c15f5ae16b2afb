namespace NormFree.Kernels.Memory;

/// <summary>A thread's scratch memory, reused by its tasks so that kernels do not allocate.</summary>
public sealed unsafe class Scratch
{
    [ThreadStatic] private static Scratch? threadScratch;

    private NativeBuffer<byte> buffer = new(0);
    private long used;

    private Scratch()
    {
    }

    /// <summary>The calling thread's scratch memory, for one task. Memory taken from it before is no longer valid.</summary>
    /// <param name="bytes">Total size the task will take; each <see cref="Take"/> rounds up to a multiple of 64 bytes.</param>
    public static Scratch OfThread(long bytes)
    {
        var scratch = threadScratch ??= new Scratch();
        if (scratch.buffer.Length < bytes)
        {
            var larger = new NativeBuffer<byte>(bytes);
            scratch.buffer.Dispose();
            scratch.buffer = larger;
        }
        scratch.used = 0;
        return scratch;
    }

    /// <summary>Takes uninitialised memory for <paramref name="count"/> elements, aligned to 64 bytes.</summary>
    /// <exception cref="InvalidOperationException">The task takes more than it requested.</exception>
    public T* Take<T>(long count) where T : unmanaged
    {
        var start = used;
        used += (count * sizeof(T) + 63) & ~63L;
        if (used > buffer.Length) throw new InvalidOperationException($"A task requested {buffer.Length} bytes of scratch but takes {used}.");
        return (T*)(buffer.Pointer + start);
    }
}
