using NormFree.Formats;
using NormFree.Inference;
using NormFree.Inference.Files;

namespace NormFree.Zoo;

/// <summary>Trained networks, which this assembly contains.</summary>
/// <example><code>
/// foreach (var name in ModelZoo.Names) Console.WriteLine($"{name}: {ModelZoo.Card(name).Accuracy.Top1():P1}");
/// using var network = ModelZoo.Load("cifar10-reactnet18");
/// </code></example>
public static class ModelZoo
{
    /// <summary>The names of all networks, sorted.</summary>
    public static IReadOnlyList<string> Names { get; } = ZooResource.Names();

    /// <summary>The model card of a network.</summary>
    /// <param name="name">The network's name.</param>
    /// <exception cref="ArgumentException">There is no such network; the message lists all.</exception>
    public static ModelCard Card(string name) => CardJson.Read(ZooResource.Read(ZooResource.CardName(Known(name))), $"zoo:{name}");

    /// <summary>Loads the packed network.</summary>
    /// <param name="name">The network's name.</param>
    /// <param name="options">How to run; null for the defaults.</param>
    /// <inheritdoc cref="Bytes(string, ZooFileKind)" path="/exception"/>
    public static PackedNetwork Load(string name, PackedOptions? options = null)
    {
        using var stream = new MemoryStream(Bytes(name, ZooFileKind.Packed));
        return PackedNetwork.From(PackedFile.Read(stream, $"zoo:{name}"), options);
    }

    /// <summary>Whether the zoo contains a file of a network. It contains every packed file, but not every checkpoint.</summary>
    /// <param name="name">The network's name.</param>
    /// <param name="kind">The kind of file.</param>
    /// <exception cref="ArgumentException">There is no such network; the message lists all.</exception>
    public static bool Has(string name, ZooFileKind kind) => Described(Card(name), kind) is not null;

    /// <summary>The name that a file has outside of the zoo, for example <c>cifar10-reactnet18.packed.safetensors</c>.</summary>
    /// <param name="name">The network's name.</param>
    /// <param name="kind">The kind of file.</param>
    public static string FileName(string name, ZooFileKind kind) => ZooResource.FileName(name, kind);

    /// <summary>The bytes of a file, after a check of their SHA-256.</summary>
    /// <param name="name">The network's name.</param>
    /// <param name="kind">The kind of file.</param>
    /// <exception cref="ArgumentException">There is no such network; the message lists all.</exception>
    /// <exception cref="InvalidOperationException">The zoo does not contain this network's checkpoint.</exception>
    /// <exception cref="InvalidFileException">The file is damaged: its SHA-256 is not that of the card.</exception>
    public static byte[] Bytes(string name, ZooFileKind kind)
    {
        var described = Described(Card(name), kind)
            ?? throw new InvalidOperationException($"The zoo has no checkpoint of '{name}', only its packed file. It has those of {Listed(WithCheckpoint)}.");
        var file = ZooResource.FileName(name, kind);
        var bytes = ZooResource.Read(file);
        ZooResource.Require(file, described, bytes);
        return bytes;
    }

    private static IEnumerable<string> WithCheckpoint => Names.Where(name => Has(name, ZooFileKind.Checkpoint));

    private static CardFile? Described(ModelCard card, ZooFileKind kind) => kind == ZooFileKind.Packed ? card.Packed : card.Checkpoint;

    private static string Known(string name) => Names.Contains(name)
        ? name
        : throw new ArgumentException($"There is no network {Quoted.Name(name)} in the zoo. It has {Listed(Names)}.", nameof(name));

    private static string Listed(IEnumerable<string> names) => string.Join(", ", names);
}
