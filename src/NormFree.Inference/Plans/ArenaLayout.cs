namespace NormFree.Inference.Plans;

/// <summary>Places what a run needs in one piece of memory; what is released is used again, so that few bytes have to fit into caches.</summary>
internal sealed class ArenaLayout
{
    private const int Alignment = 64;

    /// <summary>In the order of memory; no two of them touch.</summary>
    private readonly List<Region> free = [];

    /// <summary>Bytes of the whole arena.</summary>
    public long Bytes { get; private set; }

    /// <summary>The smallest free region that is large enough, or new memory behind all others.</summary>
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

    /// <summary>The region may be used for something else.</summary>
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

    /// <summary>A free region at the end grows.</summary>
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
