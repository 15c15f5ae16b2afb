using System.Numerics;

namespace NormFree.Archives.Pickle;

/// <summary>A whole number of any size; <see cref="PickleValue.AsInt64"/> gives it as 64 bits.</summary>
public sealed class PickleInt : PickleValue
{
    private static readonly PickleInt[] Bytes = [.. Enumerable.Range(0, 256).Select(i => new PickleInt(i))];

    private PickleInt(BigInteger value) => Value = value;

    /// <summary>The value.</summary>
    public BigInteger Value { get; }

    /// <summary>The value, one shared instance for each of 0 to 255: labels come by the ten thousand.</summary>
    internal static PickleInt Of(BigInteger value) =>
        value >= 0 && value < Bytes.Length ? Bytes[(int)value] : new PickleInt(value);

    /// <inheritdoc/>
    public override string ToString() => "a whole number";
}
