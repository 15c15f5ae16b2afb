using NormFree.Archives.Pickle;

namespace NormFree.Archives.PyTorch;

/// <summary>A dictionary of a file that holds tensors under string keys.</summary>
/// <param name="Path">The keys that lead to it, joined by dots; <c>.</c> for the value of the whole file.</param>
/// <param name="Value">The dictionary.</param>
/// <param name="Tensors">How many of its values are tensors.</param>
internal sealed record StateDictionary(string Path, PickleValue Value, int Tensors)
{
    /// <summary>The path of the value of the whole file.</summary>
    public const string Root = ".";

    /// <summary>Longer keys lead nowhere: paths of many long keys would need more memory than the file.</summary>
    private const int MaxKeyLength = 100;

    /// <summary>Dictionaries of tensors are at most the first items of a list.</summary>
    private const int MaxItems = 16;

    private const string SaveStateDict = "Save model.state_dict(), alone or under 'state_dict'";

    /// <summary>The keys and values in file order.</summary>
    /// <exception cref="InvalidFileException">A key is not a string, or occurs twice.</exception>
    public static List<(string Key, PickleValue Value)> Named(PickleValue dictionary, string file)
    {
        var named = new List<(string, PickleValue)>();
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (key, value) in Pairs(dictionary) ?? throw NoTensors(dictionary, file))
        {
            string name = key?.AsText() ?? throw Error(file, "a key of the state dictionary is not a string", SaveStateDict);
            if (!known.Add(name))
                throw Error(file, $"the key {Quoted.Name(name)} occurs twice", Remedy.WriteAgain);
            named.Add((name, value!));
        }
        return named;
    }

    /// <summary>The error for a value that holds no tensors.</summary>
    public static InvalidFileException NoTensors(PickleValue found, string file) =>
        found is PickleReduced call && call.Entries.Count == 0 && call.Items.Count == 0 && !IsOrdered(call)
            ? Error(
                file, $"expected a dictionary of tensors and found an object of {call.Callable}",
                $"Nothing was imported or executed. {SaveStateDict}, in the program that has the class")
            : Error(file, $"expected a dictionary of tensors and found {(Pairs(found) is null ? found : "one without any")}", SaveStateDict);

    /// <summary>The error for a model that was saved as an object, whose tensors only its class can name.</summary>
    public static InvalidFileException WholeModel(PickleReduced model, string file) => Error(
        file, $"it holds a whole model, an object of {model.Callable}, instead of its tensors",
        $"Nothing was imported or executed. {SaveStateDict}, in the program that has the class");

    /// <summary>The entries of a dictionary, or null. Python 2 wrote ordered dictionaries as lists of pairs; other objects have theirs in a state.</summary>
    public static IEnumerable<(PickleValue? Key, PickleValue? Value)>? Pairs(PickleValue value) => value switch
    {
        PickleDict dict => Pairs(dict.Entries),
        PickleReduced reduced when IsOrdered(reduced) && PairsOf(reduced.Arguments) is { } list => list.Items.Select(Pair),
        PickleReduced reduced when IsOrdered(reduced) || reduced.Entries.Count > 0 => Pairs(reduced.Entries),
        PickleReduced { State: PickleDict state } => Pairs(state.Entries),
        _ => null,
    };

    /// <summary>The values under string keys, or the items of a list under their numbers.</summary>
    public static IEnumerable<(string Name, PickleValue Value)> Children(PickleValue value)
    {
        if (Pairs(value) is not { } pairs)
            return (value.AsItems() ?? []).Take(MaxItems).Select((item, i) => ($"{i}", item));
        return pairs.Where(pair => pair.Value is not null && IsShortText(pair.Key)).Select(pair => (pair.Key!.AsText()!, pair.Value!));
    }

    /// <summary>The path of a value in the dictionary or list at another path.</summary>
    public static string Join(string path, string name) => path == Root ? name : $"{path}.{name}";

    private static bool IsOrdered(PickleReduced reduced) => reduced.Callable.Name == "OrderedDict";

    /// <summary>The list that is the only argument; null if there is none, or it is empty.</summary>
    private static PickleList? PairsOf(PickleTuple arguments) =>
        arguments.Items.Count == 1 && arguments.Items[0] is PickleList list && list.Items.Count > 0 ? list : null;

    private static bool IsShortText(PickleValue? key) =>
        key is PickleText { Value.Length: <= MaxKeyLength } or PickleBytes { Value.Length: <= MaxKeyLength };

    private static IEnumerable<(PickleValue? Key, PickleValue? Value)> Pairs(IEnumerable<KeyValuePair<PickleValue, PickleValue>> entries) =>
        entries.Select(entry => ((PickleValue?)entry.Key, (PickleValue?)entry.Value));

    private static (PickleValue? Key, PickleValue? Value) Pair(PickleValue pair) => pair.AsItems() is [var key, var value] ? (key, value) : default;

    private static InvalidFileException Error(string file, string what, string remedy) => new(file, "the whole value", what, remedy);
}
