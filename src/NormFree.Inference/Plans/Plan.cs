using NormFree.Inference.Layers;
using NormFree.Inference.Model;

namespace NormFree.Inference.Plans;

/// <summary>How images of one size run through layers: steps, and where everything lies. Arenas are kept from run to run.</summary>
internal sealed class Plan
{
    private readonly long mapBytes;
    private readonly long signBytes;
    private readonly IReadOnlyList<SignPlace> signs;
    private readonly Stack<Arena> idle = new();
    private bool retired;

    private Plan(PlanBuilder builder, MapPlace input, SignPlace? inputSigns, MapPlace result)
    {
        (Input, InputSigns, Result) = (input, inputSigns, result);
        Steps = [.. builder.Steps];
        (mapBytes, signBytes, signs) = (builder.MapBytes, builder.SignBytes, builder.Signs);
    }

    /// <summary>What goes in.</summary>
    public MapPlace Input { get; }

    /// <summary>The signs of what goes in, where a binary layer is the first.</summary>
    public SignPlace? InputSigns { get; }

    /// <summary>What comes out; logits go to the frame's instead.</summary>
    public MapPlace Result { get; }

    /// <summary>The steps in the order in which they run.</summary>
    public Step[] Steps { get; }

    /// <summary>A network's plan for images of a size.</summary>
    public static Plan OfNetwork(IReadOnlyList<PreparedLayer> layers, MapSize size, int threads)
    {
        var builder = new PlanBuilder(threads);
        var image = new MapPlace(size, null);
        return layers[0] is PreparedConvolution ? Of(builder, layers, image) : Of(builder, layers, ChannelsLastStep.Plan(builder, image));
    }

    /// <summary>A layer's plan for maps of a size, channels-last.</summary>
    public static Plan OfLayer(PreparedLayer layer, MapSize size)
    {
        var builder = new PlanBuilder(1);
        return Of(builder, [layer], builder.TakeMap(size));
    }

    /// <summary>An arena for one image; give it back.</summary>
    /// <exception cref="OutOfMemoryException">There is no memory for it.</exception>
    public Arena Rent()
    {
        lock (idle)
            if (idle.TryPop(out var arena)) return arena;
        return new Arena(mapBytes, signBytes, signs);
    }

    /// <summary>Gives an arena back.</summary>
    public void Return(Arena arena)
    {
        lock (idle)
            if (!retired)
            {
                idle.Push(arena);
                return;
            }
        arena.Dispose();
    }

    /// <summary>Frees arenas; those that still run, when they are given back.</summary>
    public void Retire()
    {
        lock (idle)
        {
            retired = true;
            while (idle.TryPop(out var arena)) arena.Dispose();
        }
    }

    private static Plan Of(PlanBuilder builder, IReadOnlyList<PreparedLayer> layers, MapPlace input)
    {
        var map = input;
        var inputSigns = layers[0] is PreparedBinaryLayer first ? PackStep.Plan(builder, first, map) : null;
        var signs = inputSigns;
        for (var i = 0; i < layers.Count; i++)
        {
            var next = i + 1 < layers.Count ? layers[i + 1] as PreparedBinaryLayer : null;
            var nextSigns = next is null ? null : builder.TakeSigns(next, map.Size.After(layers[i].Model));
            map = layers[i].Plan(builder, map, signs, nextSigns);
            if (signs is not null) builder.Release(signs);
            signs = nextSigns;
        }
        return new Plan(builder, input, inputSigns, map);
    }
}
