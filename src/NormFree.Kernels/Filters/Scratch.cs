using System.Runtime.InteropServices;

namespace NormFree.Kernels.Filters;

/// <summary>A task's own memory for one filter, aligned to cache lines; what it holds at first is left to chance.</summary>
internal readonly unsafe ref struct Scratch(nint bytes)
{
    private readonly void* memory = NativeMemory.AlignedAlloc((nuint)bytes, 64);

    /// <summary>As floats.</summary>
    public float* Floats => (float*)memory;

    /// <summary>As words.</summary>
    public ulong* Words => (ulong*)memory;

    /// <summary>Frees it.</summary>
    public void Dispose() => NativeMemory.AlignedFree(memory);
}
