namespace NormFree.Formats.Onnx;

/// <summary>How the value of a protobuf field is laid out.</summary>
internal enum ProtobufWire
{
    /// <summary>A number of one to ten bytes.</summary>
    Varint = 0,

    /// <summary>Eight bytes.</summary>
    Fixed64 = 1,

    /// <summary>A length, then as many bytes.</summary>
    Length = 2,

    /// <summary>Four bytes.</summary>
    Fixed32 = 5,
}
