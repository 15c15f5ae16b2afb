using NormFree.Archives.Pickle;

namespace NormFree.Archives.PyTorch;

/// <summary>Finds the state dictionary in what a file holds: the value itself, or its entry <c>state_dict</c> or <c>model</c>.</summary>
internal static class StateDictionary
{
    private const string SaveIt = "Save model.state_dict(), alone or under 'state_dict' or 'model'";
    private static readonly string[] Wrappers = ["state_dict", "model"];

    /// <summary>Keys and values of the state dictionary, each key once, in the file's order.</summary>
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
        foreach (var (key, value) in Pairs(dictionary) ?? throw Error(file, $"it holds {dictionary}, where a dictionary of tensors is needed", SaveIt))
        {
            string name = key?.AsText() ?? throw Error(file, "a key of the state dictionary is no text", SaveIt);
            if (!known.Add(name))
                throw Error(file, $"the key {Quoted.Name(name)} occurs twice", WayOut.WriteAgain);
            named.Add((name, value!));
        }
        return named;
    }

    /// <summary>Entries of a dictionary. Python 2 wrote an ordered one as a list of pairs instead.</summary>
    private static IEnumerable<(PickleValue? Key, PickleValue? Value)>? Pairs(PickleValue value) => value switch
    {
        PickleDict dict => dict.Entries.Select(entry => ((PickleValue?)entry.Key, (PickleValue?)entry.Value)),
        PickleReduced { Callable.Name: "OrderedDict", Arguments.Items: [PickleList { Items.Count: > 0 } list] } => list.Items.Select(Pair),
        PickleReduced { Callable.Name: "OrderedDict" } reduced => reduced.Entries.Select(entry => ((PickleValue?)entry.Key, (PickleValue?)entry.Value)),
        _ => null,
    };

    private static (PickleValue? Key, PickleValue? Value) Pair(PickleValue pair) => pair.AsItems() is [var key, var value] ? (key, value) : default;

    private static InvalidFileException Error(string file, string what, string wayOut) => new(file, "the whole value", what, wayOut);
}
