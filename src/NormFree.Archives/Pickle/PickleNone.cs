namespace NormFree.Archives.Pickle;

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
