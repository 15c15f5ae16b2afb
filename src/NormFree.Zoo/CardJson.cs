using System.Text.Json;
using System.Text.Json.Serialization;
using NormFree.Formats;

namespace NormFree.Zoo;

/// <summary>Model cards as JSON files.</summary>
public static class CardJson
{
    /// <summary>Reads a card.</summary>
    /// <param name="json">The JSON text, as UTF-8.</param>
    /// <param name="file">The file's name in error messages.</param>
    /// <exception cref="InvalidFileException">The text is not a card.</exception>
    public static ModelCard Read(ReadOnlySpan<byte> json, string file)
    {
        try
        {
            return JsonSerializer.Deserialize(json, CardContext.Default.ModelCard) ?? throw new JsonException("it is null");
        }
        catch (JsonException error)
        {
            throw new InvalidFileException(file, "text", $"it is not a model card: {error.Message.TrimEnd('.')}", "Write it again with 'normfree zoo add'");
        }
    }

    /// <summary>Writes a card. Equal cards give equal bytes.</summary>
    /// <param name="card">The card.</param>
    /// <returns>The JSON text, as UTF-8.</returns>
    public static byte[] Write(ModelCard card) => [.. JsonSerializer.SerializeToUtf8Bytes(card, CardContext.Default.ModelCard), (byte)'\n'];
}

[JsonSourceGenerationOptions(
    WriteIndented = true, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ModelCard))]
internal sealed partial class CardContext : JsonSerializerContext;
