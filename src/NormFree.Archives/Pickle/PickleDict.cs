namespace NormFree.Archives.Pickle;

/// <summary>A dictionary; <see cref="PickleValue.Find"/> looks a text key up.</summary>
public sealed class PickleDict : PickleValue
{
    private List<KeyValuePair<PickleValue, PickleValue>>? entries;

    internal PickleDict()
    {
    }

    /// <summary>Keys and values in the file's order. A key that is set twice is here twice; the last one counts.</summary>
    public IReadOnlyList<KeyValuePair<PickleValue, PickleValue>> Entries =>
        entries ?? (IReadOnlyList<KeyValuePair<PickleValue, PickleValue>>)[];

    internal void Add(PickleValue key, PickleValue value) => (entries ??= []).Add(new(key, value));

    /// <inheritdoc/>
    public override string ToString() => $"a dictionary of {Entries.Count}";
}
