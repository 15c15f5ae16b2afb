using static NormFree.Formats.Onnx.OnnxField;

namespace NormFree.Formats.Onnx;

/// <summary>A model as protobuf.</summary>
internal static class OnnxWriter
{
    /// <summary>The version of the format that came with opset 17 (ONNX 1.12).</summary>
    private const int IrVersion = 8;

    /// <summary>Writes a model.</summary>
    public static void Write(OnnxModel model, Stream stream)
    {
        var message = Model(model);
        if (message.Length > int.MaxValue)
            throw new InvalidOperationException($"A model of {message.Length} bytes passes protobuf's {int.MaxValue}: ONNX cannot hold it in one file.");
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
