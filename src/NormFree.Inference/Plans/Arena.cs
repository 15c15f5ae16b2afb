using NormFree.Kernels.Memory;

namespace NormFree.Inference.Plans;

/// <summary>The memory between the layers of one image that runs; borders of sign maps are written once.</summary>
internal sealed unsafe class Arena : IDisposable
{
    private readonly NativeBuffer<byte> memory;

    private readonly long signBytes;

    /// <summary>Allocates it.</summary>
    /// <param name="mapBytes">Bytes of maps.</param>
    /// <param name="signBytes">Bytes of signs.</param>
    /// <param name="signs">Every sign map once.</param>
    /// <exception cref="OutOfMemoryException">There is not so much memory.</exception>
    public Arena(long mapBytes, long signBytes, IReadOnlyList<SignPlace> signs)
    {
        this.signBytes = signBytes;
        memory = new NativeBuffer<byte>(signBytes + mapBytes).Cleared();
        foreach (var place in signs) place.Reader.Filters.FillPadding(place.In(Frame(null, null)));
    }

    /// <summary>The frame of an image that runs in it.</summary>
    public Frame Frame(float* image, float* logits) => new(memory.Pointer + signBytes, memory.Pointer, image, logits);

    /// <inheritdoc/>
    public void Dispose() => memory.Dispose();
}
