using NormFree.Inference.Layers;
using NormFree.Inference.Model;

namespace NormFree.Inference.Plans;

/// <summary>What layers write their part of a plan to.</summary>
/// <param name="threads">How many threads share a step's tasks.</param>
internal sealed class PlanBuilder(int threads)
{
    private readonly ArenaLayout arena = new();
    private readonly List<SignPlace> idleSigns = [];

    /// <summary>How many threads share a step's tasks.</summary>
    public int Threads => threads;

    /// <summary>The steps in the order in which they run.</summary>
    public List<Step> Steps { get; } = [];

    /// <summary>Every sign map of the arena once.</summary>
    public List<SignPlace> Signs { get; } = [];

    /// <summary>Bytes of the whole arena.</summary>
    public long ArenaBytes => arena.Bytes;

    /// <summary>A place for a map.</summary>
    public MapPlace TakeMap(MapSize size) => new(size, arena.Take((long)size.Height * size.Width * size.Channels * sizeof(float)));

    /// <summary>No later step reads the map.</summary>
    public void Release(MapPlace map)
    {
        if (map.Region is { } region) arena.Release(region);
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
        Signs.Add(new SignPlace(reader, layout, arena.Take(layout.Bytes)));
        return Signs[^1];
    }

    /// <summary>No later step reads these signs.</summary>
    public void Release(SignPlace signs) => idleSigns.Add(signs);
}
