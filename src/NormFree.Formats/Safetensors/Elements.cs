using System.Numerics;

namespace NormFree.Formats.Safetensors;

/// <summary>Stored elements as numbers of another type.</summary>
internal static class Elements
{
    /// <summary>Numbers: to floating point, the nearest; to whole numbers, the value, for the caller keeps to types that fit.</summary>
    public static void Number<TStored, T>(ReadOnlySpan<TStored> stored, Span<T> values)
        where TStored : INumberBase<TStored> where T : INumberBase<T>
    {
        for (int i = 0; i < stored.Length; i++)
            values[i] = T.CreateTruncating(stored[i]);
    }

    /// <summary>Truth values: 1 for every byte but 0.</summary>
    public static void Truth<T>(ReadOnlySpan<byte> stored, Span<T> values) where T : INumberBase<T>
    {
        for (int i = 0; i < stored.Length; i++)
            values[i] = stored[i] != 0 ? T.One : T.Zero;
    }

    /// <summary>The upper halves of singles.</summary>
    public static void BFloat16<T>(ReadOnlySpan<ushort> stored, Span<T> values) where T : INumberBase<T>
    {
        for (int i = 0; i < stored.Length; i++)
            values[i] = T.CreateTruncating(BitConverter.Int32BitsToSingle(stored[i] << 16));
    }
}
