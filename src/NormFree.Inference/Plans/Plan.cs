using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Inference.Threads;

namespace NormFree.Inference.Plans;

/// <summary>The steps and the memory layout for images of one size. Arenas are kept from run to run.</summary>
internal sealed class Plan
{
    private readonly long mapBytes;
    private readonly long signBytes;
    private readonly IReadOnlyList<SignBuffer> signs;
    private readonly Stack<Arena> idle = new();
    private bool retired;

    private Plan(PlanBuilder builder, MapBuffer input, SignBuffer? inputSigns, MapBuffer output, MapBuffer? shortcut)
    {
        (Input, InputSigns, Output, Shortcut) = (input, inputSigns, output, shortcut);
        Steps = [.. builder.Steps];
        (mapBytes, signBytes, signs) = (builder.MapBytes, builder.SignBytes, builder.Signs);
    }

    /// <summary>The input map.</summary>
    public MapBuffer Input { get; }

    /// <summary>The signs of the input; null unless the first layer is binary.</summary>
    public SignBuffer? InputSigns { get; }

    /// <summary>The input of another layer that is added; null unless this is the plan of a sum.</summary>
    public MapBuffer? Shortcut { get; }

    /// <summary>Bytes of the memory of all maps.</summary>
    public long MapBytes => mapBytes;

    /// <summary>The output map. A classifier writes to the frame's logits instead.</summary>
    public MapBuffer Output { get; }

    /// <summary>How runs of fewer images than threads are run.</summary>
    public TeamChoice Choice { get; } = new();

    /// <summary>The steps in execution order.</summary>
    public Step[] Steps { get; }

    /// <summary>The plan of a network for images of a size.</summary>
    public static Plan OfNetwork(IReadOnlyList<PreparedLayer> layers, MapSize size, int threads)
    {
        var builder = new PlanBuilder(threads);
        var image = new MapBuffer(size, null);
        var readers = KeptInputs.Readers(layers.Select(layer => layer.Model));
        var planar = layers[0].ReadsPlanarImages && !readers.ContainsKey(layers[0].Model.Key);
        return Of(builder, layers, readers, planar ? image : ChannelsLastStep.Plan(builder, image), image);
    }

    /// <summary>The plan of one layer for channels-last maps of a size.</summary>
    public static Plan OfLayer(PreparedLayer layer, MapSize size)
    {
        var builder = new PlanBuilder(1);
        var input = builder.TakeMap(size);
        return Of(builder, [layer], [], input, input);
    }

    /// <summary>The plan of a sum of a channels-last map and the input of another layer.</summary>
    public static Plan OfSum(PreparedAdd layer, MapSize size, MapSize shortcut)
    {
        var builder = new PlanBuilder(1);
        var (input, other) = (builder.TakeMap(size), builder.TakeMap(shortcut));
        builder.Keep(layer.From, other, 1);
        return Of(builder, [layer], [], input, input, other);
    }

    /// <summary>An arena for one image; return it after the run.</summary>
    /// <exception cref="OutOfMemoryException">There is not enough memory.</exception>
    public Arena Rent()
    {
        lock (idle)
            if (idle.TryPop(out var arena)) return arena;
        return new Arena(mapBytes, signBytes, signs);
    }

    /// <summary>Returns an arena.</summary>
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

    /// <summary>Frees the idle arenas now, and those in use when they are returned.</summary>
    public void Retire()
    {
        lock (idle)
        {
            retired = true;
            while (idle.TryPop(out var arena)) arena.Dispose();
        }
    }

    /// <param name="builder">The plan so far.</param>
    /// <param name="layers">The layers.</param>
    /// <param name="readers">How many sums read the input of a layer, by its key.</param>
    /// <param name="map">The input of the first layer.</param>
    /// <param name="input">The caller's map.</param>
    /// <param name="shortcut">The caller's second map, if there is one.</param>
    private static Plan Of(
        PlanBuilder builder, IReadOnlyList<PreparedLayer> layers, Dictionary<string, int> readers, MapBuffer map, MapBuffer input, MapBuffer? shortcut = null)
    {
        var inputSigns = layers[0] is PreparedBinaryLayer first ? builder.TakeSigns(first, map.Size) : null;
        if (inputSigns is not null) builder.Steps.Add(new PackSignsStep(inputSigns, map));
        var signs = inputSigns;
        for (var i = 0; i < layers.Count; i++)
        {
            var next = i + 1 < layers.Count ? layers[i + 1] as PreparedBinaryLayer : null;
            var nextSigns = next is null ? null : builder.TakeSigns(next, map.Size.After(layers[i].Model));
            if (readers.TryGetValue(layers[i].Model.Key, out var sums)) builder.Keep(layers[i].Model.Key, map, sums);
            map = layers[i].Plan(builder, map, signs, nextSigns);
            if (signs is not null) builder.Release(signs);
            signs = nextSigns;
        }
        return new Plan(builder, input, inputSigns, map, shortcut);
    }
}

/// <summary>The plans of the most recently used image sizes.</summary>
internal sealed class PlanCache(PackedModel model, IReadOnlyList<PreparedLayer> layers, int threads) : IDisposable
{
    private const int Capacity = 4;

    /// <summary>Most recently used first.</summary>
    private readonly List<Plan> plans = new(Capacity + 1);

    /// <summary>The plan for images of a size.</summary>
    /// <exception cref="ArgumentException">The network does not accept such images.</exception>
    public Plan For(int height, int width)
    {
        lock (plans)
        {
            var at = Find(height, width);
            if (at == 0) return plans[0];
            var plan = at > 0 ? plans[at] : Create(height, width);
            if (at > 0) plans.RemoveAt(at);
            plans.Insert(0, plan);
            if (plans.Count > Capacity)
            {
                plans[Capacity].Retire();
                plans.RemoveAt(Capacity);
            }
            return plan;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var plan in plans) plan.Retire();
        plans.Clear();
    }

    private int Find(int height, int width)
    {
        for (var i = 0; i < plans.Count; i++)
            if (plans[i].Input.Size.Height == height && plans[i].Input.Size.Width == width) return i;
        return -1;
    }

    private Plan Create(int height, int width)
    {
        if (ModelChecks.FindFor(model, height, width) is { } problem)
            throw new ArgumentException($"The network does not accept images of {height}×{width} pixels: {problem}.");
        var plan = Plan.OfNetwork(layers, new MapSize(height, width, model.Mean.Count), threads);
        if (plan.MapBytes > PackedLimits.MaxArenaBytes)
            throw new ArgumentException(
                $"The network does not accept images of {height}×{width} pixels: their maps need {plan.MapBytes} bytes; "
                + $"the limit is {PackedLimits.MaxArenaBytes}. {PackedLimits.Remedy}.");
        return plan;
    }
}
