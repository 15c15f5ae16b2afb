using NormFree.Formats.Safetensors;

namespace NormFree.Formats.Onnx;

/// <summary>The field numbers of onnx.proto that are used here, and its numbers for types.</summary>
internal static class OnnxField
{
    public const int ModelIrVersion = 1, ModelProducer = 2, ModelGraph = 7, ModelOpset = 8, ModelMetadata = 14;
    public const int OpsetDomain = 1, OpsetVersion = 2;
    public const int MetadataKey = 1, MetadataValue = 2;
    public const int GraphNode = 1, GraphName = 2, GraphConstant = 5, GraphInput = 11, GraphOutput = 12;
    public const int NodeInput = 1, NodeOutput = 2, NodeName = 3, NodeOperator = 4, NodeAttribute = 5;
    public const int AttributeName = 1, AttributeReal = 2, AttributeInteger = 3, AttributeIntegers = 8, AttributeKind = 20;
    public const int TensorShape = 1, TensorType = 2, TensorName = 8, TensorBytes = 9;
    public const int ValueName = 1, ValueKind = 2;
    public const int TypeTensor = 1, TypeTensorElement = 1, TypeTensorShape = 2;
    public const int ShapeDimension = 1, DimensionSize = 1, DimensionSymbol = 2;

    /// <summary>AttributeProto.AttributeType.</summary>
    public const int KindReal = 1, KindInteger = 2, KindIntegers = 7;

    private static readonly (DType Type, int Number)[] Types =
    [
        (DType.F32, 1), (DType.U8, 2), (DType.I8, 3), (DType.U16, 4), (DType.I16, 5), (DType.I32, 6), (DType.I64, 7),
        (DType.Bool, 9), (DType.F16, 10), (DType.F64, 11), (DType.U32, 12), (DType.U64, 13), (DType.BF16, 16),
    ];

    /// <summary>TensorProto.DataType of an element type.</summary>
    public static int Number(DType type) => Array.Find(Types, row => row.Type == type).Number;

    /// <summary>The element type of a TensorProto.DataType; null for one that is not known here.</summary>
    public static DType? Type(long number)
    {
        foreach (var row in Types)
            if (row.Number == number)
                return row.Type;
        return null;
    }
}
