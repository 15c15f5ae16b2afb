using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace NormFree.Kernels.Packed;

/// <summary><see cref="SignEncoding.FourBits"/>.</summary>
public readonly unsafe struct FourBitEncoder : ISignEncoder
{
    private const int Group = 4, Shift = 5;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ulong bits, int channels, byte* target)
    {
        if (channels == SignLayout.Block) WriteBlock(bits, target);
        else
            for (var channel = 0; channel < channels; channel += Group, bits >>= Group, target += sizeof(ushort))
                *(ushort*)target = (ushort)((bits & 15) << Shift);
    }

    /// <inheritdoc/>
    public static ulong Read(byte* source, int channels)
    {
        var bits = 0UL;
        for (var channel = 0; channel < channels; channel += Group, source += sizeof(ushort)) bits |= (ulong)(*(ushort*)source >> Shift) << channel;
        return bits;
    }

    /// <summary>Low and high halves of the bytes side by side, widened.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteBlock(ulong bits, byte* target)
    {
        var pairs = Vector128.WidenLower(Vector128.CreateScalarUnsafe(bits).AsByte());
        var halves = ((pairs | Vector128.ShiftLeft(pairs, 4)) & Vector128.Create((ushort)0x0F0F)).AsByte();
        Vector128.ShiftLeft(Vector128.WidenLower(halves), Shift).Store((ushort*)target);
        Vector128.ShiftLeft(Vector128.WidenUpper(halves), Shift).Store((ushort*)target + Vector128<ushort>.Count);
    }
}
