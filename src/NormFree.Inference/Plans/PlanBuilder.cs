using NormFree.Inference.Layers;
using NormFree.Inference.Model;

namespace NormFree.Inference.Plans;

/// <summary>Collects the steps and the memory of a plan, layer by layer.</summary>
/// <param name="threads">Threads that share a step's tasks.</param>
internal sealed class PlanBuilder(int threads)
{
    private readonly ArenaLayout maps = new();
    private readonly ArenaLayout signs = new();
    private readonly List<SignBuffer> idleSigns = [];
    private readonly Dictionary<Region, int> readers = [];
    private readonly Dictionary<string, MapBuffer> kept = new(StringComparer.Ordinal);

    /// <summary>Threads that share a step's tasks.</summary>
    public int Threads => threads;

    /// <summary>The steps in execution order.</summary>
    public List<Step> Steps { get; } = [];

    /// <summary>The distinct sign maps of the arena.</summary>
    public List<SignBuffer> Signs { get; } = [];

    /// <summary>Bytes of all feature maps.</summary>
    public long MapBytes => maps.Bytes;

    /// <summary>Bytes of all sign maps.</summary>
    public long SignBytes => signs.Bytes;

    /// <summary>Takes memory for a map.</summary>
    public MapBuffer TakeMap(MapSize size)
    {
        var region = maps.Take(size.Values * sizeof(float));
        readers[region] = 1;
        return new MapBuffer(size, region);
    }

    /// <summary>Whether only the next layer reads a map, so that it may overwrite it.</summary>
    public bool IsLastUse(MapBuffer map) => map.Region is { } region && readers[region] == 1;

    /// <summary>Ends one use of a map. After the last one, later steps reuse its memory.</summary>
    public void Release(MapBuffer map)
    {
        if (map.Region is not { } region || --readers[region] > 0) return;
        readers.Remove(region);
        maps.Release(region);
    }

    /// <summary>Keeps the input of a layer for sums that read it later. Each of them releases it once.</summary>
    /// <param name="layer">The layer's key.</param>
    /// <param name="input">Its input, in the arena.</param>
    /// <param name="sums">Number of sums.</param>
    public void Keep(string layer, MapBuffer input, int sums)
    {
        readers[input.Region!.Value] += sums;
        kept[layer] = input;
    }

    /// <summary>The input of an earlier layer that was kept.</summary>
    public MapBuffer Kept(string layer) => kept[layer];

    /// <summary>Takes memory for the input signs of a layer.</summary>
    /// <remarks>Sign maps share memory only with sign maps of the same layout, as their borders are written once.</remarks>
    public SignBuffer TakeSigns(PreparedBinaryLayer reader, MapSize size)
    {
        var layout = reader.Filters.Layout(size.Height, size.Width);
        var at = idleSigns.FindIndex(idle => idle.Layout == layout);
        if (at >= 0)
        {
            var buffer = idleSigns[at] with { Reader = reader };
            idleSigns.RemoveAt(at);
            return buffer;
        }
        Signs.Add(new SignBuffer(reader, layout, signs.Take(layout.Bytes)));
        return Signs[^1];
    }

    /// <summary>Releases signs that no later step reads.</summary>
    public void Release(SignBuffer buffer) => idleSigns.Add(buffer);
}
