using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Packed;

/// <summary><see cref="SignEncoding.SixBits"/>.</summary>
public readonly unsafe struct SixBitEncoder : ISignEncoder
{
    private const int Group = 6, Shift = 6;

    /// <inheritdoc/>
    public static SignEncoding Encoding => SignEncoding.SixBits;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ulong bits, int channels, byte* target)
    {
        if (channels == SignLayout.Block && Bmi2.X64.IsSupported) WriteBlock(bits, target);
        else
            for (var channel = 0; channel < channels; channel += Group, bits >>= Group, target += sizeof(ushort))
                *(ushort*)target = (ushort)((bits & 63) << Shift);
    }

    /// <inheritdoc/>
    public static ulong Read(byte* source, int channels)
    {
        var bits = 0UL;
        for (var channel = 0; channel < channels; channel += Group, source += sizeof(ushort)) bits |= (ulong)(*(ushort*)source >> Shift) << channel;
        return bits;
    }

    /// <summary>Eight groups by one deposit of bits, and the last eight once more: the three that are new, and five again.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteBlock(ulong bits, byte* target)
    {
        const ulong mask = 0x3F3F_3F3F_3F3F_3F3F;
        var first = Bmi2.X64.ParallelBitDeposit(bits, mask);
        var last = Bmi2.X64.ParallelBitDeposit(bits >> 18, mask);
        Store(first, target);
        Store(last, target + 3 * sizeof(ushort));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(ulong groups, byte* target)
    {
        var wide = Vector128.WidenLower(Vector128.CreateScalarUnsafe(groups).AsByte());
        Vector128.ShiftLeft(wide, Shift).Store((ushort*)target);
    }
}
