namespace NormFree.Archives.Pickle;

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
