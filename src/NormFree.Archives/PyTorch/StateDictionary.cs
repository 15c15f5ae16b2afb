using NormFree.Archives.Pickle;

namespace NormFree.Archives.PyTorch;

/// <summary>Finds the state dictionary in the value of a file: the value itself, or its entry <c>state_dict</c> or <c>model</c>.</summary>
internal static class StateDictionary
{
    private const string SaveStateDict = "Save model.state_dict(), alone or under 'state_dict' or 'model'";
    private static readonly string[] Wrappers = ["state_dict", "model"];

    /// <summary>The keys and values of the state dictionary in file order. Duplicate keys are an error.</summary>
    public static List<(string Key, PickleValue Value)> Of(PickleValue root, string file)
    {
        foreach (string wrapper in Wrappers)
            if (root.Find(wrapper) is { } inner && Pairs(inner) is not null)
                return Named(inner, file);
        return Named(root, file);
    }

    private static List<(string Key, PickleValue Value)> Named(PickleValue dictionary, string file)
    {
        var named = new List<(string, PickleValue)>();
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (key, value) in Pairs(dictionary) ?? throw Error(file, $"expected a dictionary of tensors and found {dictionary}", SaveStateDict))
        {
            string name = key?.AsText() ?? throw Error(file, "a key of the state dictionary is not a string", SaveStateDict);
            if (!known.Add(name))
                throw Error(file, $"the key {Quoted.Name(name)} occurs twice", Remedy.WriteAgain);
            named.Add((name, value!));
        }
        return named;
    }

    /// <summary>The entries of a dictionary, or null. Python 2 wrote ordered dictionaries as lists of pairs.</summary>
    private static IEnumerable<(PickleValue? Key, PickleValue? Value)>? Pairs(PickleValue value) => value switch
    {
        PickleDict dict => dict.Entries.Select(entry => ((PickleValue?)entry.Key, (PickleValue?)entry.Value)),
        PickleReduced { Callable.Name: "OrderedDict", Arguments.Items: [PickleList { Items.Count: > 0 } list] } => list.Items.Select(Pair),
        PickleReduced { Callable.Name: "OrderedDict" } reduced => reduced.Entries.Select(entry => ((PickleValue?)entry.Key, (PickleValue?)entry.Value)),
        _ => null,
    };

    private static (PickleValue? Key, PickleValue? Value) Pair(PickleValue pair) => pair.AsItems() is [var key, var value] ? (key, value) : default;

    private static InvalidFileException Error(string file, string what, string remedy) => new(file, "the whole value", what, remedy);
}
