namespace NormFree.Archives.Pickle;

/// <summary>A tuple.</summary>
public sealed class PickleTuple : PickleValue
{
    internal static readonly PickleTuple Empty = new([]);

    internal PickleTuple(PickleValue[] items) => Items = items;

    /// <summary>What it holds, in order.</summary>
    public IReadOnlyList<PickleValue> Items { get; }

    /// <inheritdoc/>
    public override string ToString() => $"a tuple of {Items.Count}";
}
