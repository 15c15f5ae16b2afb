using System.Runtime.CompilerServices;

namespace NormFree.Kernels.Convolutions;

/// <summary>Where the next words of three pixels are.</summary>
internal unsafe struct ThreePointers(ulong* pixels, nint toB, nint toC)
{
    public ulong* A = pixels, B = pixels + toB, C = pixels + toC;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Advance(int words)
    {
        A += words;
        B += words;
        C += words;
    }
}
