using NormFree.Archives.Pickle;

namespace NormFree.Archives.PyTorch;

/// <summary>Chooses one of a file's dictionaries of tensors, by name or by preference.</summary>
internal static class StateDictionaryChoice
{
    /// <summary>The usual names of the trained weights, most specific first.</summary>
    private static readonly string[] Known = ["state_dict", "model_state_dict", "model", "net", "network", "params", "weights", "module", "student", "backbone"];

    /// <summary>Words in the names of averaged copies: exponential moving average, stochastic weight averaging, and a teacher that is such an average.</summary>
    private static readonly string[] Averages = ["ema", "swa", "averaged", "avg", "teacher"];

    /// <summary>The dictionary with this name, or else the preferred one.</summary>
    /// <param name="search">What the file holds.</param>
    /// <param name="root">The value of the file.</param>
    /// <param name="weights">A path, its last key, or <c>ema</c> for an averaged copy; null for the preferred dictionary.</param>
    /// <param name="file">The name of the file in errors.</param>
    /// <exception cref="InvalidFileException">The file has no such dictionary, or none at all.</exception>
    public static StateDictionary Of(StateDictionarySearch search, PickleValue root, string? weights, string file)
    {
        if (search.WholeModel is { } model && !search.Found.Exists(found => Rank(found) < Known.Length))
            throw StateDictionary.WholeModel(model, file);
        if (search.Found.Count == 0)
        {
            StateDictionary.Named(root, file);
            throw StateDictionary.NoTensors(root, file);
        }
        return weights is null ? Preferred(search.Found) : ByName(search.Found, weights, file);
    }

    /// <summary>One of the large dictionaries: the weights themselves before an average, a usual name before another, more tensors before fewer.</summary>
    private static StateDictionary Preferred(List<StateDictionary> found)
    {
        int most = found.Max(dictionary => dictionary.Tensors);
        return found.Where(dictionary => 2L * dictionary.Tensors >= most)
            .OrderBy(IsAverage).ThenBy(Rank).ThenByDescending(dictionary => dictionary.Tensors).First();
    }

    private static StateDictionary ByName(List<StateDictionary> found, string weights, string file)
    {
        var fits = found.Find(dictionary => dictionary.Path == weights)
            ?? found.Find(dictionary => LastKey(dictionary) == weights)
            ?? found.Find(dictionary => dictionary.Path.StartsWith(weights + ".", StringComparison.Ordinal))
            ?? (weights == "ema" ? found.Where(IsAverage).MaxBy(dictionary => dictionary.Tensors) : null);
        if (fits is not null)
            return fits;
        string list = string.Join(", ", Printable.List([.. found.Select(dictionary => $"{dictionary.Path} ({dictionary.Tensors} tensors)")]));
        throw new InvalidFileException(file, "the whole value", $"it has no dictionary of tensors {Quoted.Name(weights)}; it holds {list}", "Choose one of them");
    }

    private static string LastKey(StateDictionary dictionary) => dictionary.Path[(dictionary.Path.LastIndexOf('.') + 1)..];

    private static int Rank(StateDictionary dictionary) => Array.IndexOf(Known, LastKey(dictionary)) is >= 0 and var rank ? rank : Known.Length;

    private static bool IsAverage(StateDictionary dictionary) =>
        dictionary.Path.Split('.', '_', '-').Any(word => Averages.Contains(word, StringComparer.OrdinalIgnoreCase));
}
