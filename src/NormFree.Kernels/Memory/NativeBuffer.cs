using System.Runtime.InteropServices;

namespace NormFree.Kernels.Memory;

/// <summary>Unmanaged memory aligned to 64 bytes, the size of a cache line and of the widest vector.</summary>
/// <typeparam name="T">Type of the elements.</typeparam>
public sealed unsafe class NativeBuffer<T> : IDisposable where T : unmanaged
{
    private const int Alignment = 64;

    private T* pointer;

    /// <summary>Allocates uninitialised memory for <paramref name="length"/> elements.</summary>
    /// <exception cref="OutOfMemoryException">There is not enough memory.</exception>
    public NativeBuffer(long length)
    {
        Length = length;
        pointer = (T*)NativeMemory.AlignedAlloc(checked((nuint)Math.Max(1, length) * (nuint)sizeof(T)), Alignment);
    }

    /// <summary>Frees the memory if the buffer was not disposed.</summary>
    ~NativeBuffer() => Free();

    /// <summary>Number of elements.</summary>
    public long Length { get; }

    /// <summary>The first element. Valid until the buffer is disposed or collected, so keep a reference to the buffer.</summary>
    /// <exception cref="ObjectDisposedException">The buffer was disposed.</exception>
    public T* Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(pointer == null, this);
            return pointer;
        }
    }

    /// <summary>Sets all bytes to zero and returns the buffer.</summary>
    public NativeBuffer<T> Cleared()
    {
        NativeMemory.Clear(Pointer, (nuint)Length * (nuint)sizeof(T));
        return this;
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void Free()
    {
        NativeMemory.AlignedFree(pointer);
        pointer = null;
    }
}
