using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using NormFree.Formats;
using NormFree.Formats.Safetensors;

namespace NormFree.Inference.Files;

/// <summary>The tensors of a packed file. Each must be read exactly once, with the type and shape that its layer requires.</summary>
/// <remarks>Shapes are compared before anything is allocated; the file's size matches its shapes.</remarks>
internal sealed class PackedTensors(SafetensorsFile file)
{
    private readonly HashSet<string> taken = new(StringComparer.Ordinal);

    /// <summary>Reads a tensor of float32 values.</summary>
    public float[] Singles(string name, params ReadOnlySpan<long> shape) => file.ReadAsSingle(Take(name, DType.F32, shape));

    /// <summary>Reads a tensor of 64-bit words.</summary>
    public ulong[] Words(string name, params ReadOnlySpan<long> shape)
    {
        var entry = Take(name, DType.U64, shape);
        ulong[] words = new ulong[entry.Elements];
        file.ReadBytes(entry, 0, MemoryMarshal.AsBytes(words.AsSpan()));
        return words;
    }

    /// <summary>Checks that all tensors that no layer has read are padding.</summary>
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
            Fail(entry.Name, "no layer uses it");
        if (entry.DType != DType.U8 || entry.Bytes >= PackedFormat.Alignment)
            Fail(entry.Name, $"padding must have type U8 and less than {PackedFormat.Alignment} bytes");
        Span<byte> bytes = stackalloc byte[(int)entry.Bytes];
        file.ReadBytes(entry, 0, bytes);
        if (bytes.ContainsAnyExcept((byte)0))
            Fail(entry.Name, "padding must be 0");
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
            Fail(name, $"it has shape [{Shape(found)}] and type {entry.DType.Name()}; its layer requires [{Shape(shape.ToArray())}] and {type.Name()}");
        if (entry.Elements > Array.MaxLength)
            Fail(name, $"it has {entry.Elements} elements; the limit is {Array.MaxLength}");
        if ((file.DataStart + entry.Begin) % PackedFormat.Alignment != 0)
            Fail(name, $"it starts at byte {file.DataStart + entry.Begin} of the file, which is not a multiple of {PackedFormat.Alignment}");
        if (!taken.Add(name))
            Fail(name, "two layers use it");
        return entry;
    }

    /// <summary>The first dimensions of a shape, for messages.</summary>
    private static string Shape(long[] shape) => string.Join(", ", shape.Take(8)) + (shape.Length > 8 ? ", …" : "");

    [DoesNotReturn]
    private void Fail(string tensor, string what) =>
        throw new InvalidFileException(file.Name, $"tensor {Quoted.Name(tensor)}", what, PackedFormat.Remedy);
}
