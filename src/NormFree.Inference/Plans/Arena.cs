using NormFree.Kernels.Memory;

namespace NormFree.Inference.Plans;

/// <summary>The memory of one running image. The borders of sign maps are written once, when it is allocated.</summary>
internal sealed unsafe class Arena : IDisposable
{
    private readonly NativeBuffer<byte> memory;

    private readonly long signBytes;

    /// <summary>Allocates the memory.</summary>
    /// <param name="mapBytes">Bytes of all feature maps.</param>
    /// <param name="signBytes">Bytes of all sign maps.</param>
    /// <param name="signs">The sign maps.</param>
    /// <exception cref="OutOfMemoryException">There is not enough memory.</exception>
    public Arena(long mapBytes, long signBytes, IReadOnlyList<SignBuffer> signs)
    {
        this.signBytes = signBytes;
        memory = new NativeBuffer<byte>(signBytes + mapBytes).Cleared();
        foreach (var buffer in signs) buffer.Reader.Filters.FillPadding(buffer.In(Frame(null, null)));
    }

    /// <summary>The frame of an image that runs in this memory.</summary>
    public Frame Frame(float* image, float* logits) => new(memory.Pointer + signBytes, memory.Pointer, image, logits);

    /// <inheritdoc/>
    public void Dispose() => memory.Dispose();
}

/// <summary>Pointers to the memory of one running image.</summary>
/// <param name="maps">Feature maps.</param>
/// <param name="signs">Sign maps.</param>
/// <param name="image">The image, planar.</param>
/// <param name="logits">The result.</param>
internal readonly unsafe struct Frame(byte* maps, byte* signs, float* image, float* logits)
{
    public readonly byte* Maps = maps;
    public readonly byte* Signs = signs;
    public readonly float* Image = image;
    public readonly float* Logits = logits;
}

/// <summary>A part of an arena.</summary>
/// <param name="Start">Offset of its first byte.</param>
/// <param name="Bytes">Its length.</param>
internal readonly record struct Region(long Start, long Bytes)
{
    public long End => Start + Bytes;
}

/// <summary>Assigns regions of an arena when a plan is built. Released regions are reused, which keeps the arena small enough for the caches.</summary>
internal sealed class ArenaLayout
{
    private const int Alignment = 64;

    /// <summary>Sorted by address; no two are adjacent.</summary>
    private readonly List<Region> free = [];

    /// <summary>Size of the arena.</summary>
    public long Bytes { get; private set; }

    /// <summary>Takes the smallest free region that is large enough, or extends the arena.</summary>
    public Region Take(long bytes)
    {
        var rounded = (Math.Max(1, bytes) + Alignment - 1) / Alignment * Alignment;
        var best = -1;
        for (var i = 0; i < free.Count; i++)
            if (free[i].Bytes >= rounded && (best < 0 || free[i].Bytes < free[best].Bytes)) best = i;
        if (best < 0) return Extend(rounded);
        var region = free[best];
        if (region.Bytes == rounded) free.RemoveAt(best);
        else free[best] = new Region(region.Start + rounded, region.Bytes - rounded);
        return new Region(region.Start, rounded);
    }

    /// <summary>Makes a region free again and merges it with free neighbours.</summary>
    public void Release(Region region)
    {
        var at = free.FindIndex(other => other.Start > region.Start);
        if (at < 0) at = free.Count;
        if (at < free.Count && region.End == free[at].Start)
        {
            region = region with { Bytes = region.Bytes + free[at].Bytes };
            free.RemoveAt(at);
        }
        if (at > 0 && free[at - 1].End == region.Start) free[at - 1] = free[at - 1] with { Bytes = free[at - 1].Bytes + region.Bytes };
        else free.Insert(at, region);
    }

    /// <summary>Extends the arena, starting with a free region at its end if there is one.</summary>
    private Region Extend(long bytes)
    {
        var start = Bytes;
        if (free.Count > 0 && free[^1].End == Bytes)
        {
            start = free[^1].Start;
            free.RemoveAt(free.Count - 1);
        }
        Bytes = start + bytes;
        return new Region(start, bytes);
    }
}
