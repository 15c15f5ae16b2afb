namespace NormFree.Archives.Pickle;

/// <summary>Bytes: Python 3's <c>bytes</c> and <c>bytearray</c>, and Python 2's <c>str</c>.</summary>
public sealed class PickleBytes : PickleValue
{
    internal PickleBytes(ReadOnlyMemory<byte> value) => Value = value;

    /// <summary>The bytes: a part of the file as it was read, not a copy of it.</summary>
    public ReadOnlyMemory<byte> Value { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Value.Length} bytes";
}
