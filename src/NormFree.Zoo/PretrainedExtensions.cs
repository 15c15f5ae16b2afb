using NormFree.Formats;
using NormFree.Inference;

namespace NormFree.Zoo;

/// <summary>Adds <c>PackedNetwork.Pretrained</c> in C#. The package NormFree.Zoo.FSharp adds it in F#.</summary>
public static class PretrainedExtensions
{
    extension(PackedNetwork)
    {
        /// <summary>Loads a network of the zoo.</summary>
        /// <param name="name">One of <see cref="ModelZoo.Names"/>.</param>
        /// <param name="options">How to run; null for the defaults.</param>
        /// <exception cref="ArgumentException">There is no such network; the message lists all.</exception>
        /// <exception cref="InvalidFileException">The file is damaged: its SHA-256 is not that of the card.</exception>
        public static PackedNetwork Pretrained(string name, PackedOptions? options = null) => ModelZoo.Load(name, options);
    }
}
