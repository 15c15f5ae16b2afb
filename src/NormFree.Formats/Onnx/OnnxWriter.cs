using NormFree.Formats.Protobuf;
using NormFree.Formats.Safetensors;
using static NormFree.Formats.Onnx.OnnxField;

namespace NormFree.Formats.Onnx;

/// <summary>Writes a model as protobuf.</summary>
internal static class OnnxWriter
{
    /// <summary>The version of the file format that came with opset 17 (ONNX 1.12).</summary>
    private const int IrVersion = 8;

    /// <summary>Writes a model.</summary>
    public static void Write(OnnxModel model, Stream stream)
    {
        var message = Model(model);
        if (message.Length > int.MaxValue)
            throw new InvalidOperationException($"The model has {message.Length} bytes, but protobuf allows {int.MaxValue}: ONNX cannot store it in one file.");
        message.WriteTo(stream);
    }

    private static ProtobufMessage Model(OnnxModel model)
    {
        var message = new ProtobufMessage();
        message.Integer(ModelIrVersion, IrVersion);
        message.Text(ModelProducer, model.Producer);
        message.Message(ModelGraph, Graph(model.Graph));
        var opset = new ProtobufMessage();
        opset.Text(OpsetDomain, "");
        opset.Integer(OpsetVersion, model.Opset);
        message.Message(ModelOpset, opset);
        foreach (var (key, value) in model.Metadata)
        {
            var entry = new ProtobufMessage();
            entry.Text(MetadataKey, key);
            entry.Text(MetadataValue, value);
            message.Message(ModelMetadata, entry);
        }
        return message;
    }

    private static ProtobufMessage Graph(OnnxGraph graph)
    {
        var message = new ProtobufMessage();
        foreach (var node in graph.Nodes)
            message.Message(GraphNode, Node(node));
        message.Text(GraphName, graph.Name);
        foreach (var tensor in graph.Constants)
            message.Message(GraphConstant, Tensor(tensor));
        foreach (var value in graph.Inputs)
            message.Message(GraphInput, Value(value));
        foreach (var value in graph.Outputs)
            message.Message(GraphOutput, Value(value));
        return message;
    }

    private static ProtobufMessage Node(OnnxNode node)
    {
        var message = new ProtobufMessage();
        foreach (string input in node.Inputs)
            message.Text(NodeInput, input);
        foreach (string output in node.Outputs)
            message.Text(NodeOutput, output);
        message.Text(NodeName, node.Name);
        message.Text(NodeOperator, node.Operator);
        foreach (var attribute in node.Attributes)
            message.Message(NodeAttribute, Attribute(attribute));
        return message;
    }

    private static ProtobufMessage Attribute(OnnxAttribute attribute)
    {
        var message = new ProtobufMessage();
        message.Text(AttributeName, attribute.Name);
        if (attribute.Real is { } real)
        {
            message.Single(AttributeReal, real);
            message.Integer(AttributeKind, KindReal);
        }
        else if (attribute.Integer is { } integer)
        {
            message.Integer(AttributeInteger, integer);
            message.Integer(AttributeKind, KindInteger);
        }
        else
        {
            foreach (long number in attribute.Integers ?? [])
                message.Integer(AttributeIntegers, number);
            message.Integer(AttributeKind, KindIntegers);
        }
        return message;
    }

    private static ProtobufMessage Tensor(OnnxTensor tensor)
    {
        var message = new ProtobufMessage();
        foreach (long size in tensor.Shape)
            message.Integer(TensorShape, size);
        message.Integer(TensorType, Number(tensor.DType));
        message.Text(TensorName, tensor.Name);
        message.Bytes(TensorBytes, tensor.Bytes);
        return message;
    }

    private static ProtobufMessage Value(OnnxValue value)
    {
        var shape = new ProtobufMessage();
        foreach (var dimension in value.Dimensions)
            shape.Message(ShapeDimension, Dimension(dimension));
        var tensor = new ProtobufMessage();
        tensor.Integer(TypeTensorElement, Number(value.DType));
        tensor.Message(TypeTensorShape, shape);
        var type = new ProtobufMessage();
        type.Message(TypeTensor, tensor);
        var message = new ProtobufMessage();
        message.Text(ValueName, value.Name);
        message.Message(ValueKind, type);
        return message;
    }

    private static ProtobufMessage Dimension(OnnxDimension dimension)
    {
        var message = new ProtobufMessage();
        if (dimension.Size is { } size)
            message.Integer(DimensionSize, size);
        else
            message.Text(DimensionSymbol, dimension.Symbol ?? "");
        return message;
    }
}

/// <summary>Field numbers and enum values of onnx.proto.</summary>
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

    /// <summary>Values of AttributeProto.AttributeType.</summary>
    public const int KindReal = 1, KindInteger = 2, KindIntegers = 7;

    /// <summary>The TensorProto.DataType of an element type.</summary>
    public static int Number(DType type) => type switch
    {
        DType.F32 => 1,
        DType.U8 => 2,
        DType.I8 => 3,
        DType.U16 => 4,
        DType.I16 => 5,
        DType.I32 => 6,
        DType.I64 => 7,
        DType.Bool => 9,
        DType.F16 => 10,
        DType.F64 => 11,
        DType.U32 => 12,
        DType.U64 => 13,
        DType.BF16 => 16,
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };
}
