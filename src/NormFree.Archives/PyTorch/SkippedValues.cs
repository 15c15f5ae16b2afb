using NormFree.Archives.Pickle;

namespace NormFree.Archives.PyTorch;

/// <summary>Names what a checkpoint keeps beside its tensors: epochs, optimisers, arguments.</summary>
internal sealed class SkippedValues
{
    private const int MaxNames = 1000;
    private const int MaxChildren = 10_000;
    private readonly StateDictionary chosen;
    private readonly List<StateDictionary> found;
    private readonly HashSet<PickleValue> seen = new(ReferenceEqualityComparer.Instance);
    private readonly OrderedDictionary<string, PickleValue> skipped = [];

    private SkippedValues(StateDictionary chosen, List<StateDictionary> found)
    {
        this.chosen = chosen;
        this.found = found;
    }

    /// <summary>The first keys of the dictionaries around the chosen one, except those that lead to a dictionary of tensors.</summary>
    public static List<string> Beside(StateDictionary chosen, List<StateDictionary> found, PickleValue root)
    {
        var values = new SkippedValues(chosen, found);
        values.Collect(root, StateDictionary.Root);
        return [.. values.skipped.Select(entry => entry.Key + Kind(entry.Value))];
    }

    private void Collect(PickleValue value, string path)
    {
        if (ReferenceEquals(value, chosen.Value) || !seen.Add(value))
            return;
        foreach (var (name, child) in StateDictionary.Children(value).Take(MaxChildren))
        {
            string inner = StateDictionary.Join(path, name);
            if (LeadsTo(inner, chosen))
                Collect(child, inner);
            else if (skipped.Count < MaxNames && !found.Exists(other => LeadsTo(inner, other)))
                skipped[inner] = child;
        }
    }

    /// <summary>The class of an object; numbers, dictionaries and tensors need none.</summary>
    private static string Kind(PickleValue value) =>
        value is PickleReduced call && call.Entries.Count == 0 && !TensorRebuild.IsTensor(value) ? $" ({call.Callable})" : "";

    private static bool LeadsTo(string path, StateDictionary dictionary) =>
        dictionary.Path == path || dictionary.Path.StartsWith(path + ".", StringComparison.Ordinal);
}
