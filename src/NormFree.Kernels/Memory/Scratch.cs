namespace NormFree.Kernels.Memory;

/// <summary>A thread's working memory, kept from task to task so that kernels allocate nothing.</summary>
public sealed unsafe class Scratch
{
    [ThreadStatic] private static Scratch? threadScratch;

    private NativeBuffer<byte> buffer = new(0);
    private long used;

    private Scratch()
    {
    }

    /// <summary>The calling thread's memory, for one task: what was taken from it before is forgotten.</summary>
    /// <param name="bytes">How much the task will take in all; each piece takes up to 63 bytes more than its size.</param>
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

    /// <summary>Takes room for so many values, aligned to 64 bytes and not initialised.</summary>
    /// <exception cref="InvalidOperationException">The task takes more than it announced.</exception>
    public T* Take<T>(long count) where T : unmanaged
    {
        var start = used;
        used += (count * sizeof(T) + 63) & ~63L;
        if (used > buffer.Length) throw new InvalidOperationException($"A task announced {buffer.Length} bytes of scratch and takes {used}.");
        return (T*)(buffer.Pointer + start);
    }
}
