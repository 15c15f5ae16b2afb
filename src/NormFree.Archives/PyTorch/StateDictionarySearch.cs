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
        int place = Found.Count, tensors = 0;
        foreach (var (name, child) in StateDictionary.Children(value))
        {
            if (TensorRebuild.IsTensor(child))
                tensors++;
            else if (PickleNesting.MayHaveChildren(child) && !seen.Contains(child) && !IsOfOptimiser(name))
                Visit(child, StateDictionary.Join(path, name), depth + 1);
        }
        if (tensors > 0 && StateDictionary.Pairs(value) is not null)
            Found.Insert(place, new StateDictionary(path, value, tensors));
    }

    /// <summary>Whether a value is an object of a <c>torch.nn.Module</c>, which keeps its tensors in a state of its own.</summary>
    private static bool IsModule(PickleValue value) =>
        value is PickleReduced { State: PickleDict state } && (state.Find("_parameters") is not null || state.Find("_modules") is not null);

    private static bool IsOfOptimiser(string name) =>
        name.Contains("optim", StringComparison.OrdinalIgnoreCase) || name.Contains("sched", StringComparison.OrdinalIgnoreCase);
}
