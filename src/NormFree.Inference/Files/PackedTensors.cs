using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using NormFree.Formats;
using NormFree.Formats.Safetensors;

namespace NormFree.Inference.Files;

/// <summary>A packed file's tensors: each is taken once, in the type and shape that its layer asks for, and none may be left.</summary>
/// <remarks>Shapes are compared before anything is allocated, and the file has as many bytes as its shapes say.</remarks>
internal sealed class PackedTensors(SafetensorsFile file)
{
    private readonly HashSet<string> taken = new(StringComparer.Ordinal);

    /// <summary>A tensor of floats.</summary>
    public float[] Singles(string name, params ReadOnlySpan<long> shape) => file.ReadAsSingle(Take(name, DType.F32, shape));

    /// <summary>A tensor of words.</summary>
    public ulong[] Words(string name, params ReadOnlySpan<long> shape)
    {
        var entry = Take(name, DType.U64, shape);
        ulong[] words = new ulong[entry.Elements];
        file.ReadBytes(entry, 0, MemoryMarshal.AsBytes(words.AsSpan()));
        return words;
    }

    /// <summary>Ends the reading: tensors that no layer has taken must be padding.</summary>
    public void End()
    {
        foreach (var entry in file.Tensors)
        {
            if (!taken.Contains(entry.Name))
                CheckPadding(entry);
        }
    }

    private void CheckPadding(TensorEntry entry)
    {
        if (!entry.Name.StartsWith(PackedFormat.Padding, StringComparison.Ordinal))
            Fail(entry.Name, "no layer has such a tensor");
        if (entry.DType != DType.U8 || entry.Bytes >= PackedFormat.Alignment)
            Fail(entry.Name, $"padding has less than {PackedFormat.Alignment} bytes of U8");
        Span<byte> bytes = stackalloc byte[(int)entry.Bytes];
        file.ReadBytes(entry, 0, bytes);
        if (bytes.ContainsAnyExcept((byte)0))
            Fail(entry.Name, "padding is not 0");
    }

    private TensorEntry Take(string name, DType type, ReadOnlySpan<long> shape)
    {
        if (file.Find(name) is not { } entry)
        {
            Fail(name, "it is missing");
            return null;
        }
        long[] found = [.. entry.Shape];
        if (entry.DType != type || !found.AsSpan().SequenceEqual(shape))
            Fail(name, $"it has shape [{Shape(found)}] of {entry.DType.Name()}, where its layer needs [{Shape(shape.ToArray())}] of {type.Name()}");
        if (entry.Elements > Array.MaxLength)
            Fail(name, $"{entry.Elements} elements are more than one array holds");
        if ((file.DataStart + entry.Begin) % PackedFormat.Alignment != 0)
            Fail(name, $"it begins at byte {file.DataStart + entry.Begin} of the file, which is no multiple of {PackedFormat.Alignment}");
        if (!taken.Add(name))
            Fail(name, "two layers have it");
        return entry;
    }

    /// <summary>A shape may have any number of sides; a message has room for a few.</summary>
    private static string Shape(long[] sides) => string.Join(", ", sides.Take(8)) + (sides.Length > 8 ? ", …" : "");

    [DoesNotReturn]
    private void Fail(string tensor, string what) =>
        throw new InvalidFileException(file.Name, $"tensor {Quoted.Name(tensor)}", what, PackedFormat.WayOut);
}
