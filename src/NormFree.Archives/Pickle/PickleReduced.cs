namespace NormFree.Archives.Pickle;

/// <summary>An object as the recipe by which Python would build it: call this, with these, then fill it. Nothing is called.</summary>
public sealed class PickleReduced : PickleValue
{
    private List<PickleValue>? items;
    private List<KeyValuePair<PickleValue, PickleValue>>? entries;

    internal PickleReduced(PickleGlobal callable, PickleTuple arguments)
    {
        Callable = callable;
        Arguments = arguments;
    }

    /// <summary>The class or function: one that the caller allowed.</summary>
    public PickleGlobal Callable { get; }

    /// <summary>The arguments of the call.</summary>
    public PickleTuple Arguments { get; }

    /// <summary>What Python would hand to <c>__setstate__</c> afterwards; null where nothing follows.</summary>
    public PickleValue? State { get; internal set; }

    /// <summary>What Python would append to the object, as to a list.</summary>
    public IReadOnlyList<PickleValue> Items => items ?? (IReadOnlyList<PickleValue>)[];

    /// <summary>What Python would set in the object, as in a dictionary, in the file's order.</summary>
    public IReadOnlyList<KeyValuePair<PickleValue, PickleValue>> Entries =>
        entries ?? (IReadOnlyList<KeyValuePair<PickleValue, PickleValue>>)[];

    internal void Add(PickleValue item) => (items ??= []).Add(item);

    internal void Add(PickleValue key, PickleValue value) => (entries ??= []).Add(new(key, value));

    /// <inheritdoc/>
    public override string ToString() => $"a call of {Callable}";
}
