namespace NormFree.Archives.Pickle;

/// <summary>A text: Python 3's <c>str</c>, Python 2's <c>unicode</c>.</summary>
public sealed class PickleText : PickleValue
{
    internal PickleText(string value) => Value = value;

    /// <summary>The value.</summary>
    public string Value { get; }

    /// <inheritdoc/>
    public override string ToString() => $"the text {Quoted.Name(Value)}";
}
