using System.Runtime.InteropServices;

namespace NormFree.Kernels.Memory;

/// <summary>Memory outside the garbage-collected heap, aligned to 64 bytes: a cache line and the widest vector.</summary>
/// <typeparam name="T">What it holds.</typeparam>
public sealed unsafe class NativeBuffer<T> : IDisposable where T : unmanaged
{
    private const int Alignment = 64;

    private T* pointer;

    /// <summary>Allocates room for so many values, which are not initialised.</summary>
    /// <exception cref="OutOfMemoryException">There is not so much memory.</exception>
    public NativeBuffer(long length)
    {
        Length = length;
        pointer = (T*)NativeMemory.AlignedAlloc(checked((nuint)Math.Max(1, length) * (nuint)sizeof(T)), Alignment);
    }

    /// <summary>Frees what nobody disposed.</summary>
    ~NativeBuffer() => Free();

    /// <summary>How many values it holds.</summary>
    public long Length { get; }

    /// <summary>The first value. It stays valid until the buffer is disposed, or collected: keep the buffer alive for as long.</summary>
    /// <exception cref="ObjectDisposedException">The buffer was disposed.</exception>
    public T* Pointer
    {
        get
        {
            ObjectDisposedException.ThrowIf(pointer == null, this);
            return pointer;
        }
    }

    /// <summary>Sets all values to zero bits.</summary>
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
