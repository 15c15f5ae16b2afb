namespace NormFree.Inference.Model;

/// <summary>The inputs of layers that a later <see cref="PackedAdd"/> reads, while a model is followed layer by layer.</summary>
/// <param name="layers">The layers of the model.</param>
internal sealed class KeptInputs(IReadOnlyList<PackedLayer> layers)
{
    private readonly Dictionary<string, int> readers = Readers(layers);
    private readonly Dictionary<string, MapSize> sizes = new(StringComparer.Ordinal);
    private long values;

    /// <summary>How many sums read the input of a layer, by its key.</summary>
    public static Dictionary<string, int> Readers(IEnumerable<PackedLayer> layers) =>
        layers.OfType<PackedAdd>().CountBy(add => add.From, StringComparer.Ordinal).ToDictionary(StringComparer.Ordinal);

    /// <summary>Adds the input of the next layer if a sum reads it.</summary>
    public void Enter(PackedLayer layer, MapSize input)
    {
        if (!readers.ContainsKey(layer.Key))
            return;
        sizes[layer.Key] = input;
        values += input.Values;
    }

    /// <summary>Why the inputs that exist when a layer runs are too large; null if they are not.</summary>
    public ModelProblem? Problem(PackedLayer layer) => values > PackedLimits.MaxKeptValues
        ? ModelProblem.Limit(layer, $"the maps that later sums read have {values} values; the limit is {PackedLimits.MaxKeptValues}")
        : null;

    /// <summary>The size of the input that a sum adds.</summary>
    public MapSize Source(PackedAdd add) => sizes[add.From];

    /// <summary>Removes the input that a sum has read if it was its last reader.</summary>
    public void Release(PackedAdd add)
    {
        if (--readers[add.From] == 0)
            values -= sizes[add.From].Values;
    }
}

/// <summary>The channels of the sums of a valid model, which depend on the layers before them.</summary>
internal sealed class SumChannels
{
    private readonly Dictionary<string, int> inputs = new(StringComparer.Ordinal);

    /// <param name="model">A valid model.</param>
    public SumChannels(PackedModel model)
    {
        var size = new MapSize(model.Height, model.Width, model.Mean.Count);
        foreach (var layer in model.Layers)
        {
            inputs[layer.Key] = size.Channels;
            size = size.After(layer);
        }
    }

    /// <summary>The channels of a sum's shortcut before it is projected, and of its result.</summary>
    public (int In, int Out) Of(PackedAdd add) => (inputs[add.From], inputs[add.Key]);
}
