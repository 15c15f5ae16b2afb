using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using NormFree.Formats;

namespace NormFree.Inference.Files;

/// <summary>An object of a file's JSON, read strictly: every field is taken once, in its type, and none may be left.</summary>
internal sealed class JsonFields
{
    private readonly string file;
    private readonly string where;
    private readonly Dictionary<string, JsonElement> left = new(StringComparer.Ordinal);

    /// <summary>An object.</summary>
    /// <param name="file">The name that errors give to the file.</param>
    /// <param name="where">How errors call the object.</param>
    /// <param name="element">What should be one.</param>
    public JsonFields(string file, string where, JsonElement element)
    {
        this.file = file;
        this.where = where;
        if (element.ValueKind != JsonValueKind.Object)
            Fail("an object is expected");
        foreach (var field in element.EnumerateObject())
            if (!left.TryAdd(field.Name, field.Value))
                Fail($"the field {Quoted.Name(field.Name)} occurs twice");
    }

    /// <summary>A text.</summary>
    public string Text(string name) => TextOf(Take(name, JsonValueKind.String, "a text"));

    /// <summary>A whole number of 32 bits.</summary>
    public int Number(string name)
    {
        var element = Take(name, JsonValueKind.Number, "a whole number");
        if (!element.TryGetInt32(out int number))
            Fail($"the field {Quoted.Name(name)} is no whole number from {int.MinValue} to {int.MaxValue}");
        return number;
    }

    /// <summary>A real number; one that float32 cannot hold becomes infinite, which the model's checks refuse.</summary>
    public float Real(string name) => Take(name, JsonValueKind.Number, "a number").GetSingle();

    /// <summary>A truth value.</summary>
    public bool Truth(string name)
    {
        var element = Take(name);
        if (element.ValueKind is not (JsonValueKind.True or JsonValueKind.False))
            Fail($"the field {Quoted.Name(name)} is not true or false");
        return element.GetBoolean();
    }

    /// <summary>An array of texts.</summary>
    public string[] Texts(string name) => [.. Array(name, JsonValueKind.String, "texts").Select(TextOf)];

    /// <summary>An array of real numbers.</summary>
    public float[] Reals(string name) => [.. Array(name, JsonValueKind.Number, "numbers").Select(element => element.GetSingle())];

    /// <summary>An array of objects.</summary>
    public IEnumerable<JsonElement> Objects(string name) => Array(name, JsonValueKind.Object, "objects");

    /// <summary>An object in this one.</summary>
    public JsonFields Object(string name) => new(file, $"{where}, {name}", Take(name, JsonValueKind.Object, "an object"));

    /// <summary>Ends the reading: fields that nobody has taken are not known.</summary>
    public void End()
    {
        if (left.Count > 0)
            Fail($"the field {Quoted.Name(left.Keys.First())} is not known");
    }

    /// <summary>What is wrong with the object, to throw.</summary>
    public InvalidFileException Error(string what) => new(file, where, what, PackedFormat.WayOut);

    [DoesNotReturn]
    private void Fail(string what) => throw Error(what);

    private JsonElement[] Array(string name, JsonValueKind kind, string what)
    {
        var element = Take(name, JsonValueKind.Array, $"an array of {what}");
        JsonElement[] items = [.. element.EnumerateArray()];
        if (!items.All(item => item.ValueKind == kind))
            Fail($"the field {Quoted.Name(name)} is not an array of {what}");
        return items;
    }

    private JsonElement Take(string name, JsonValueKind kind, string what)
    {
        var element = Take(name);
        if (element.ValueKind != kind)
            Fail($"the field {Quoted.Name(name)} is not {what}");
        return element;
    }

    private JsonElement Take(string name)
    {
        if (!left.Remove(name, out var element))
            Fail($"the field {Quoted.Name(name)} is missing");
        return element;
    }

    private static string TextOf(JsonElement element) => element.GetString()!;
}
