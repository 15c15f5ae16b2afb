using NormFree.Formats.Safetensors;
using static NormFree.Formats.Onnx.OnnxField;

namespace NormFree.Formats.Onnx;

/// <summary>A model from protobuf. Fields that are not known here are skipped, as protobuf wants it.</summary>
internal static class OnnxReader
{
    /// <summary>Reads a model.</summary>
    public static OnnxModel Model(ProtobufReader reader)
    {
        long opset = 0;
        string producer = "";
        OnnxGraph? graph = null;
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case ModelProducer: producer = reader.Text(); break;
                case ModelGraph when graph is null: graph = Graph(reader.Message()); break;
                case ModelOpset: opset = Math.Max(opset, Opset(reader.Message())); break;
                case ModelMetadata: Metadata(reader.Message(), metadata); break;
                default: reader.Skip(); break;
            }
        }
        return new OnnxModel(opset, producer, graph ?? reader.Fail<OnnxGraph>("there is no graph in it"), metadata);
    }

    /// <summary>The version of the standard operators; that of another domain does not count.</summary>
    private static long Opset(ProtobufReader reader)
    {
        string domain = "";
        long version = 0;
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case OpsetDomain: domain = reader.Text(); break;
                case OpsetVersion: version = reader.Integer(); break;
                default: reader.Skip(); break;
            }
        }
        return domain is "" or "ai.onnx" ? version : 0;
    }

    private static void Metadata(ProtobufReader reader, Dictionary<string, string> metadata)
    {
        string key = "", value = "";
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case MetadataKey: key = reader.Text(); break;
                case MetadataValue: value = reader.Text(); break;
                default: reader.Skip(); break;
            }
        }
        metadata[key] = value;
    }

    private static OnnxGraph Graph(ProtobufReader reader)
    {
        string name = "";
        var nodes = new List<OnnxNode>();
        var constants = new List<OnnxTensor>();
        var inputs = new List<OnnxValue>();
        var outputs = new List<OnnxValue>();
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case GraphName: name = reader.Text(); break;
                case GraphNode: nodes.Add(Node(reader.Message())); break;
                case GraphConstant: constants.Add(Tensor(reader.Message())); break;
                case GraphInput: inputs.Add(Value(reader.Message())); break;
                case GraphOutput: outputs.Add(Value(reader.Message())); break;
                default: reader.Skip(); break;
            }
        }
        return new OnnxGraph(name, nodes, constants, inputs, outputs);
    }

    private static OnnxNode Node(ProtobufReader reader)
    {
        string kind = "", name = "";
        List<string> inputs = [], outputs = [];
        List<OnnxAttribute> attributes = [];
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case NodeInput: inputs.Add(reader.Text()); break;
                case NodeOutput: outputs.Add(reader.Text()); break;
                case NodeName: name = reader.Text(); break;
                case NodeOperator: kind = reader.Text(); break;
                case NodeAttribute: attributes.Add(Attribute(reader.Message())); break;
                default: reader.Skip(); break;
            }
        }
        return new OnnxNode(kind, name, inputs, outputs, attributes);
    }

    private static OnnxAttribute Attribute(ProtobufReader reader)
    {
        string name = "";
        float? real = null;
        long? integer = null;
        List<long>? integers = null;
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case AttributeName: name = reader.Text(); break;
                case AttributeReal: real = reader.Single(); break;
                case AttributeInteger: integer = reader.Integer(); break;
                case AttributeIntegers: reader.Integers(integers ??= []); break;
                default: reader.Skip(); break;
            }
        }
        return new OnnxAttribute(name, real, integer, integers);
    }

    private static OnnxTensor Tensor(ProtobufReader reader)
    {
        string name = "";
        DType? type = null;
        var shape = new List<long>();
        ReadOnlyMemory<byte>? bytes = null;
        while (reader.Next())
        {
            switch (reader.Field)
            {
                case TensorName: name = reader.Text(); break;
                case TensorType: type = Type(reader.Integer()); break;
                case TensorShape: reader.Integers(shape); break;
                case TensorBytes: bytes = reader.Bytes(); break;
                default: reader.Skip(); break;
            }
        }
        if (type is not { } known || bytes is not { } raw || TensorEntry.BytesOf(known, shape) != raw.Length)
            return reader.Fail<OnnxTensor>($"tensor {Quoted.Name(name)} does not have its elements as raw bytes of its shape and a known type");
        return new OnnxTensor(name, known, shape, raw);
    }

    private static OnnxValue Value(ProtobufReader reader)
    {
        string name = "";
        DType? type = null;
        var dimensions = new List<OnnxDimension>();
        while (reader.Next())
        {
            if (reader.Field == ValueName)
                name = reader.Text();
            else if (reader.Field == ValueKind)
                type = TensorOf(reader.Message(), dimensions);
            else
                reader.Skip();
        }
        return new OnnxValue(name, type ?? reader.Fail<DType>($"the value {Quoted.Name(name)} is no tensor of a known type"), dimensions);
    }

    private static DType? TensorOf(ProtobufReader reader, List<OnnxDimension> dimensions)
    {
        DType? type = null;
        while (reader.Next())
        {
            if (reader.Field == TypeTensor)
                type = TensorType(reader.Message(), dimensions);
            else
                reader.Skip();
        }
        return type;

        static DType? TensorType(ProtobufReader reader, List<OnnxDimension> dimensions)
        {
            DType? type = null;
            while (reader.Next())
            {
                if (reader.Field == TypeTensorElement)
                    type = Type(reader.Integer());
                else if (reader.Field == TypeTensorShape)
                    Shape(reader.Message(), dimensions);
                else
                    reader.Skip();
            }
            return type;
        }
    }

    private static void Shape(ProtobufReader reader, List<OnnxDimension> dimensions)
    {
        while (reader.Next())
        {
            if (reader.Field == ShapeDimension)
                dimensions.Add(Dimension(reader.Message()));
            else
                reader.Skip();
        }
    }

    private static OnnxDimension Dimension(ProtobufReader reader)
    {
        long? size = null;
        string? symbol = null;
        while (reader.Next())
        {
            if (reader.Field == DimensionSize)
                size = reader.Integer();
            else if (reader.Field == DimensionSymbol)
                symbol = reader.Text();
            else
                reader.Skip();
        }
        return new OnnxDimension(size, symbol);
    }
}
