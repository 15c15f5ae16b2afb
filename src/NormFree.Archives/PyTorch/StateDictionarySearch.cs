using NormFree.Archives.Pickle;

namespace NormFree.Archives.PyTorch;

/// <summary>Finds every dictionary of tensors in a value: checkpoints keep theirs beside the optimiser, under names that differ by project.</summary>
/// <remarks>The value may be shared, contain itself and be nested to any depth. The search visits each container once, and no deeper than <see cref="MaxDepth"/>.</remarks>
internal sealed class StateDictionarySearch
{
    private const int MaxDepth = 5;
    private const int MaxContainers = 10_000;
    private readonly HashSet<PickleValue> seen = new(ReferenceEqualityComparer.Instance);

    /// <summary>The dictionaries with at least one tensor, in file order. Those of optimisers and schedulers are not among them.</summary>
    public List<StateDictionary> Found { get; } = [];

    /// <summary>The first model that was saved as an object; null if there is none.</summary>
    public PickleReduced? WholeModel { get; private set; }

    /// <summary>Searches the value of a file.</summary>
    public static StateDictionarySearch In(PickleValue root)
    {
        var search = new StateDictionarySearch();
        search.Visit(root, StateDictionary.Root, 0);
        return search;
    }

    private void Visit(PickleValue value, string path, int depth)
    {
        if (depth > MaxDepth || seen.Count >= MaxContainers || !PickleNesting.MayHaveChildren(value) || TensorRebuild.IsTensor(value) || !seen.Add(value))
            return;
        if (IsModule(value))
        {
            WholeModel ??= (PickleReduced)value;
            return;
        }
        int place = Found.Count;
        foreach (var (name, child) in StateDictionary.Children(value))
        {
            if (PickleNesting.MayHaveChildren(child) && !TensorRebuild.IsTensor(child) && !seen.Contains(child) && !IsOfOptimiser(name))
                Visit(child, StateDictionary.Join(path, name), depth + 1);
        }
        int tensors = StateDictionary.Pairs(value)?.Count(IsNamedTensor) ?? 0;
        if (tensors > 0)
            Found.Insert(place, new StateDictionary(path, value, tensors));
    }

    private static bool IsNamedTensor((PickleValue? Key, PickleValue? Value) pair) =>
        pair.Key is PickleText or PickleBytes && pair.Value is { } value && TensorRebuild.IsTensor(value);

    /// <summary>Whether a value is an object of a <c>torch.nn.Module</c>, which keeps its tensors in a state of its own.</summary>
    private static bool IsModule(PickleValue value) =>
        value is PickleReduced { State: PickleDict state } && (state.Find("_parameters") is not null || state.Find("_modules") is not null);

    private static bool IsOfOptimiser(string name) =>
        name.Contains("optim", StringComparison.OrdinalIgnoreCase) || name.Contains("sched", StringComparison.OrdinalIgnoreCase);
}
