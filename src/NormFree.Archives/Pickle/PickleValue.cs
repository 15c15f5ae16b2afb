using System.Text;

namespace NormFree.Archives.Pickle;

/// <summary>A value read out of a pickle. Only data: what a pickle asks to import or to call is described, never done.</summary>
/// <remarks>
/// Values compare by reference, for a pickle may use one value in many places. A value that came out of
/// <see cref="PickleReader"/> never contains itself and is never nested deeper than <see cref="PickleLimits.MaxDepth"/>.
/// </remarks>
public abstract class PickleValue
{
    private protected PickleValue()
    {
    }

    /// <summary>The text of a <see cref="PickleText"/>, or of a <see cref="PickleBytes"/> read as Latin-1; otherwise null.</summary>
    /// <remarks>Python 2 wrote its text as bytes, so whoever looks for a name wants both.</remarks>
    public string? AsText() => this switch
    {
        PickleText text => text.Value,
        PickleBytes bytes => Encoding.Latin1.GetString(bytes.Value.Span),
        _ => null,
    };

    /// <summary>The whole number of a <see cref="PickleInt"/> or <see cref="PickleBool"/> within 64 bits; otherwise null.</summary>
    public long? AsInt64() => this switch
    {
        PickleBool flag => flag.Value ? 1 : 0,
        PickleInt number when number.Value >= long.MinValue && number.Value <= long.MaxValue => (long)number.Value,
        _ => null,
    };

    /// <summary>What a <see cref="PickleTuple"/>, a <see cref="PickleList"/> or a list-like <see cref="PickleReduced"/> holds; otherwise null.</summary>
    public IReadOnlyList<PickleValue>? AsItems() => this switch
    {
        PickleTuple tuple => tuple.Items,
        PickleList list => list.Items,
        PickleReduced { Items.Count: > 0 } reduced => reduced.Items,
        _ => null,
    };

    /// <summary>Keys and values of a <see cref="PickleDict"/>, or of a <see cref="PickleReduced"/> that was filled like one (an
    /// <c>OrderedDict</c>, say), in the file's order; otherwise null.</summary>
    public IReadOnlyList<KeyValuePair<PickleValue, PickleValue>>? AsEntries() => this switch
    {
        PickleDict dict => dict.Entries,
        PickleReduced reduced => reduced.Entries,
        _ => null,
    };

    /// <summary>The entry under a text key (or a Python 2 byte string), the last one where there are several; null where there is none.</summary>
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
