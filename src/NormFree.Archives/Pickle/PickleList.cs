namespace NormFree.Archives.Pickle;

/// <summary>A list.</summary>
public sealed class PickleList : PickleValue
{
    private List<PickleValue>? items;

    internal PickleList()
    {
    }

    /// <summary>What it holds, in order.</summary>
    public IReadOnlyList<PickleValue> Items => items ?? (IReadOnlyList<PickleValue>)[];

    internal void Add(PickleValue item) => (items ??= []).Add(item);

    /// <inheritdoc/>
    public override string ToString() => $"a list of {Items.Count}";
}
