using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using NormFree.Inference.Model;

namespace NormFree.Inference.Files;

/// <summary>Writes what a file says of its layers: all but the tensors.</summary>
internal static class ModelJson
{
    /// <summary>The model on one line.</summary>
    public static string Write(PackedModel model)
    {
        var buffer = new ArrayBufferWriter<byte>();
        int version = PackedFormat.VersionFor(model);
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("architecture", model.Architecture);
            json.WriteNumber("height", model.Height);
            json.WriteNumber("width", model.Width);
            WriteArray(json, "mean", model.Mean, json.WriteNumberValue);
            WriteArray(json, "deviation", model.Deviation, json.WriteNumberValue);
            WriteArray(json, "preparation", model.Preparation, step => Write(json, step));
            WriteArray(json, "classes", model.Classes, json.WriteStringValue);
            WriteArray(json, "layers", model.Layers, layer => Write(json, layer, version));
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void WriteArray<T>(Utf8JsonWriter json, string name, IEnumerable<T> items, Action<T> write)
    {
        json.WriteStartArray(name);
        foreach (var item in items)
            write(item);
        json.WriteEndArray();
    }

    private static void Write(Utf8JsonWriter json, ImageStep step)
    {
        json.WriteStartObject();
        json.WriteString("kind", step.Kind switch
        {
            ImageStepKind.Cover => PackedFormat.Cover,
            ImageStepKind.Resize => PackedFormat.Resize,
            _ => PackedFormat.CentreCrop,
        });
        json.WriteNumber("height", step.Height);
        json.WriteNumber("width", step.Width);
        json.WriteEndObject();
    }

    private static string Kind(Projection? projection) => projection switch
    {
        null => PackedFormat.NoProjection,
        BinaryProjection { Centered: true } => PackedFormat.ZeroMeanFilters,
        BinaryProjection => PackedFormat.BinaryFilters,
        _ => PackedFormat.RealFilters,
    };

    private static void Write(Utf8JsonWriter json, PackedLayer layer, int version)
    {
        json.WriteStartObject();
        switch (layer)
        {
            case RealConvolution real:
                WriteHead(json, PackedFormat.Convolution, real.Key, real.In, real.Out);
                WriteWindow(json, real.Kernel, real.Stride, real.Padding);
                break;
            case MaxPool pool:
                WriteHead(json, PackedFormat.MaxPool, pool.Key);
                WriteWindow(json, pool.Kernel, pool.Stride, pool.Padding);
                break;
            case BinaryLayer binary:
                WriteHead(json, PackedFormat.Binary, binary.Key, binary.In, binary.Out);
                WriteWindow(json, binary.Kernel, binary.Stride, binary.Padding);
                Write(json, binary.Shortcut, version);
                break;
            case Classifier classifier:
                WriteHead(json, PackedFormat.Classifier, classifier.Key, classifier.In, classifier.Classes);
                break;
        }
        json.WriteEndObject();
    }

    private static void WriteHead(Utf8JsonWriter json, string kind, string key)
    {
        json.WriteString("kind", kind);
        json.WriteString("key", key);
    }

    private static void WriteHead(Utf8JsonWriter json, string kind, string key, int inputs, int outputs)
    {
        WriteHead(json, kind, key);
        json.WriteNumber("in", inputs);
        json.WriteNumber("out", outputs);
    }

    private static void WriteWindow(Utf8JsonWriter json, int kernel, int stride, int padding)
    {
        json.WriteNumber("kernel", kernel);
        json.WriteNumber("stride", stride);
        json.WriteNumber("padding", padding);
    }

    private static void Write(Utf8JsonWriter json, Shortcut shortcut, int version)
    {
        json.WriteStartObject("shortcut");
        if (shortcut is PooledInput pooled)
        {
            json.WriteString("kind", PackedFormat.PooledInput);
            json.WriteNumber("kernel", pooled.Kernel);
            json.WriteNumber("factor", pooled.Factor);
            if (version < PackedFormat.KindsOfProjections)
                json.WriteBoolean("projection", pooled.Projection is not null);
            else
                json.WriteString("projection", Kind(pooled.Projection));
        }
        else
        {
            json.WriteString("kind", PackedFormat.Input);
        }
        json.WriteEndObject();
    }
}
