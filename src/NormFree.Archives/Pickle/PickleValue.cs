using System.Numerics;
using System.Text;

namespace NormFree.Archives.Pickle;

/// <summary>A value from a pickle. It is only data: imports and calls are described, never executed.</summary>
/// <remarks>
/// Values are compared by reference, because a pickle may use one value in many places. A value from <see cref="PickleReader"/> never contains
/// itself and is not nested deeper than <see cref="PickleLimits.MaxDepth"/>, unless it was read with <see cref="PickleGlobals.Any"/>.
/// </remarks>
public abstract class PickleValue
{
    private protected PickleValue()
    {
    }

    /// <summary>The string of a <see cref="PickleText"/>, or the Latin-1 string of bytes; otherwise null.</summary>
    /// <remarks>Python 2 wrote strings as bytes, so names may be either. Python 3 writes bytes in protocol 2 as encoded Latin-1 strings.</remarks>
    public string? AsText() => this switch
    {
        PickleText text => text.Value,
        PickleBytes bytes => Encoding.Latin1.GetString(bytes.Value.Span),
        PickleReduced { Callable: { Module: "_codecs", Name: "encode" }, Arguments.Items: [PickleText text, PickleText { Value: "latin1" }] } => text.Value,
        _ => null,
    };

    /// <summary>The integer of a <see cref="PickleInt"/> or <see cref="PickleBool"/> if it fits into 64 bits; otherwise null.</summary>
    public long? AsInt64() => this switch
    {
        PickleBool flag => flag.Value ? 1 : 0,
        PickleInt number when number.Value >= long.MinValue && number.Value <= long.MaxValue => (long)number.Value,
        _ => null,
    };

    /// <summary>The items of a <see cref="PickleTuple"/>, a <see cref="PickleList"/> or a list-like <see cref="PickleReduced"/>; otherwise null.</summary>
    public IReadOnlyList<PickleValue>? AsItems() => this switch
    {
        PickleTuple tuple => tuple.Items,
        PickleList list => list.Items,
        PickleReduced { Items.Count: > 0 } reduced => reduced.Items,
        _ => null,
    };

    /// <summary>The keys and values of a <see cref="PickleDict"/> or a <see cref="PickleReduced"/> such as <c>OrderedDict</c>, in file order; otherwise null.</summary>
    public IReadOnlyList<KeyValuePair<PickleValue, PickleValue>>? AsEntries() => this switch
    {
        PickleDict dict => dict.Entries,
        PickleReduced reduced => reduced.Entries,
        _ => null,
    };

    /// <summary>The value under a string key (or a Python 2 byte string). The last entry wins; null if there is none.</summary>
    /// <param name="key">The key.</param>
    public PickleValue? Find(string key)
    {
        if (AsEntries() is not { } entries)
            return null;
        for (int i = entries.Count - 1; i >= 0; i--)
            if (entries[i].Key.AsText() == key)
                return entries[i].Value;
        return null;
    }
}

/// <summary>Python's <c>None</c>.</summary>
public sealed class PickleNone : PickleValue
{
    internal static readonly PickleNone Instance = new();

    private PickleNone()
    {
    }

    /// <inheritdoc/>
    public override string ToString() => "None";
}

/// <summary>Python's <c>True</c> or <c>False</c>.</summary>
public sealed class PickleBool : PickleValue
{
    internal static readonly PickleBool True = new(true);
    internal static readonly PickleBool False = new(false);

    private PickleBool(bool value) => Value = value;

    /// <summary>The value.</summary>
    public bool Value { get; }

    /// <inheritdoc/>
    public override string ToString() => Value ? "True" : "False";
}

/// <summary>An integer of any size; see also <see cref="PickleValue.AsInt64"/>.</summary>
public sealed class PickleInt : PickleValue
{
    private static readonly PickleInt[] Bytes = [.. Enumerable.Range(0, 256).Select(i => new PickleInt(i))];

    private PickleInt(BigInteger value) => Value = value;

    /// <summary>The value.</summary>
    public BigInteger Value { get; }

    /// <summary>The value; 0 to 255 share instances, because label lists hold tens of thousands of them.</summary>
    internal static PickleInt Of(BigInteger value) =>
        value >= 0 && value < Bytes.Length ? Bytes[(int)value] : new PickleInt(value);

    /// <inheritdoc/>
    public override string ToString() => "an integer";
}

/// <summary>A floating-point number.</summary>
public sealed class PickleFloat : PickleValue
{
    internal PickleFloat(double value) => Value = value;

    /// <summary>The value.</summary>
    public double Value { get; }

    /// <inheritdoc/>
    public override string ToString() => "a float";
}

/// <summary>A string: Python 3's <c>str</c> or Python 2's <c>unicode</c>.</summary>
public sealed class PickleText : PickleValue
{
    internal PickleText(string value) => Value = value;

    /// <summary>The value.</summary>
    public string Value { get; }

    /// <inheritdoc/>
    public override string ToString() => $"the string {Quoted.Name(Value)}";
}

/// <summary>Bytes: Python 3's <c>bytes</c> and <c>bytearray</c>, or Python 2's <c>str</c>.</summary>
public sealed class PickleBytes : PickleValue
{
    internal PickleBytes(ReadOnlyMemory<byte> value) => Value = value;

    /// <summary>The bytes: a slice of the file's memory, not a copy.</summary>
    public ReadOnlyMemory<byte> Value { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Value.Length} bytes";
}

/// <summary>A tuple.</summary>
public sealed class PickleTuple : PickleValue
{
    internal static readonly PickleTuple Empty = new([]);

    internal PickleTuple(PickleValue[] items) => Items = items;

    /// <summary>The items in order.</summary>
    public IReadOnlyList<PickleValue> Items { get; }

    /// <inheritdoc/>
    public override string ToString() => $"a tuple of {Items.Count}";
}

/// <summary>A list.</summary>
public sealed class PickleList : PickleValue
{
    private List<PickleValue>? items;

    internal PickleList()
    {
    }

    /// <summary>The items in order.</summary>
    public IReadOnlyList<PickleValue> Items => items ?? (IReadOnlyList<PickleValue>)[];

    internal void Add(PickleValue item) => (items ??= []).Add(item);

    /// <inheritdoc/>
    public override string ToString() => $"a list of {Items.Count}";
}

/// <summary>A dictionary; see also <see cref="PickleValue.Find"/>.</summary>
public sealed class PickleDict : PickleValue
{
    private List<KeyValuePair<PickleValue, PickleValue>>? entries;

    internal PickleDict()
    {
    }

    /// <summary>Keys and values in file order. A key that is set twice occurs twice; the last value counts.</summary>
    public IReadOnlyList<KeyValuePair<PickleValue, PickleValue>> Entries =>
        entries ?? (IReadOnlyList<KeyValuePair<PickleValue, PickleValue>>)[];

    internal void Add(PickleValue key, PickleValue value) => (entries ??= []).Add(new(key, value));

    /// <inheritdoc/>
    public override string ToString() => $"a dictionary of {Entries.Count}";
}

/// <summary>The name of a class or function that Python would import. Nothing is imported.</summary>
public sealed class PickleGlobal : PickleValue
{
    /// <summary>Stands for a function that the pickle computes instead of naming it.</summary>
    internal static readonly PickleGlobal Computed = new("", "a computed function");

    internal PickleGlobal(string module, string name)
    {
        Module = module;
        Name = name;
    }

    /// <summary>The module, for example <c>collections</c>.</summary>
    public string Module { get; }

    /// <summary>The name in the module, for example <c>OrderedDict</c>.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public override string ToString() => Module.Length == 0 ? Name : $"{Quoted.Name(Module)}.{Quoted.Name(Name)}";
}

/// <summary>An object as the steps by which Python would build it: a call, a state, items. Nothing is called.</summary>
public sealed class PickleReduced : PickleValue
{
    private List<PickleValue>? items;
    private List<KeyValuePair<PickleValue, PickleValue>>? entries;

    internal PickleReduced(PickleGlobal callable, PickleTuple arguments)
    {
        Callable = callable;
        Arguments = arguments;
    }

    /// <summary>The class or function, which the caller allows.</summary>
    public PickleGlobal Callable { get; }

    /// <summary>The arguments of the call.</summary>
    public PickleTuple Arguments { get; }

    /// <summary>What Python would pass to <c>__setstate__</c>; null if nothing.</summary>
    public PickleValue? State { get; internal set; }

    /// <summary>What Python would append to the object as to a list.</summary>
    public IReadOnlyList<PickleValue> Items => items ?? (IReadOnlyList<PickleValue>)[];

    /// <summary>What Python would set in the object as in a dictionary, in file order.</summary>
    public IReadOnlyList<KeyValuePair<PickleValue, PickleValue>> Entries =>
        entries ?? (IReadOnlyList<KeyValuePair<PickleValue, PickleValue>>)[];

    internal void Add(PickleValue item) => (items ??= []).Add(item);

    internal void Add(PickleValue key, PickleValue value) => (entries ??= []).Add(new(key, value));

    /// <inheritdoc/>
    public override string ToString() => $"a call of {Callable}";
}

/// <summary>A reference to something outside the pickle. PyTorch's checkpoints refer to the storages of tensors this way.</summary>
public sealed class PicklePersistentId : PickleValue
{
    internal PicklePersistentId(PickleValue id) => Id = id;

    /// <summary>The writer's identifier.</summary>
    public PickleValue Id { get; }

    /// <inheritdoc/>
    public override string ToString() => "a persistent id";
}
