using NormFree.Inference.Layers;
using NormFree.Inference.Model;

namespace NormFree.Inference.Plans;

/// <summary>What layers write their part of a plan to.</summary>
/// <param name="threads">How many threads share a step's tasks.</param>
internal sealed class PlanBuilder(int threads)
{
    private readonly ArenaLayout maps = new();
    private readonly ArenaLayout signs = new();
    private readonly List<SignPlace> idleSigns = [];

    /// <summary>How many threads share a step's tasks.</summary>
    public int Threads => threads;

    /// <summary>The steps in the order in which they run.</summary>
    public List<Step> Steps { get; } = [];

    /// <summary>Every sign map of the arena once.</summary>
    public List<SignPlace> Signs { get; } = [];

    /// <summary>Bytes of all maps.</summary>
    public long MapBytes => maps.Bytes;

    /// <summary>Bytes of all sign maps.</summary>
    public long SignBytes => signs.Bytes;

    /// <summary>A place for a map.</summary>
    public MapPlace TakeMap(MapSize size) => new(size, maps.Take((long)size.Height * size.Width * size.Channels * sizeof(float)));

    /// <summary>No later step reads the map.</summary>
    public void Release(MapPlace map)
    {
        if (map.Region is { } region) maps.Release(region);
    }

    /// <summary>
    /// A place for a layer's signs. Sign maps share memory with nothing but sign maps of the same layout: their borders must stay.
    /// </summary>
    public SignPlace TakeSigns(PreparedBinaryLayer reader, MapSize size)
    {
        var layout = reader.Filters.Layout(size.Height, size.Width);
        var at = idleSigns.FindIndex(idle => idle.Layout == layout);
        if (at >= 0)
        {
            var place = idleSigns[at] with { Reader = reader };
            idleSigns.RemoveAt(at);
            return place;
        }
        Signs.Add(new SignPlace(reader, layout, signs.Take(layout.Bytes)));
        return Signs[^1];
    }

    /// <summary>No later step reads these signs.</summary>
    public void Release(SignPlace place) => idleSigns.Add(place);
}
