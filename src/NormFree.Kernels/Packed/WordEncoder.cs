using System.Runtime.CompilerServices;

namespace NormFree.Kernels.Packed;

/// <summary><see cref="SignEncoding.Words"/>.</summary>
public readonly unsafe struct WordEncoder : ISignEncoder
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ulong bits, int channels, byte* target) => *(ulong*)target = bits;

    /// <inheritdoc/>
    public static ulong Read(byte* source, int channels) => *(ulong*)source;
}
