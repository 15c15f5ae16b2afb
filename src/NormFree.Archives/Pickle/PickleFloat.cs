namespace NormFree.Archives.Pickle;

/// <summary>A floating-point number.</summary>
public sealed class PickleFloat : PickleValue
{
    internal PickleFloat(double value) => Value = value;

    /// <summary>The value.</summary>
    public double Value { get; }

    /// <inheritdoc/>
    public override string ToString() => "a float";
}
