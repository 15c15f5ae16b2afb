using NormFree.Kernels.Memory;

namespace NormFree.Inference.Plans;

/// <summary>The memory between the layers of one image that runs; borders of sign maps are written once.</summary>
internal sealed unsafe class Arena : IDisposable
{
    private readonly NativeBuffer<byte> memory;

    public Arena(long bytes, IReadOnlyList<SignPlace> signs)
    {
        memory = new NativeBuffer<byte>(bytes).Cleared();
        var frame = new Frame(memory.Pointer, null, null);
        foreach (var place in signs) place.Reader.Filters.FillBorder(place.In(frame));
    }

    /// <summary>Its first byte.</summary>
    public byte* Memory => memory.Pointer;

    /// <inheritdoc/>
    public void Dispose() => memory.Dispose();
}
