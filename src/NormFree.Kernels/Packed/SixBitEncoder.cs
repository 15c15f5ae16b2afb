using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Packed;

/// <summary><see cref="SignEncoding.SixBits"/>.</summary>
public readonly unsafe struct SixBitEncoder : ISignEncoder
{
    private const int Group = 6, Shift = 6;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ulong bits, int channels, byte* target)
    {
        var groups = (channels + Group - 1) / Group;
        if (channels == SignLayout.Block && Bmi2.X64.IsSupported) WriteBlock(bits, target);
        else if (groups is >= 4 and <= 8 && Bmi2.X64.IsSupported) WriteGroups(bits, groups, target);
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
        EightGroups(bits).Store((ushort*)target);
        EightGroups(bits >> 3 * Group).Store((ushort*)target + 3);
    }

    /// <summary>Four to eight groups: four, and the last four once more.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteGroups(ulong bits, int groups, byte* target)
    {
        EightGroups(bits).GetLower().Store((ushort*)target);
        EightGroups(bits >> (groups - 4) * Group).GetLower().Store((ushort*)target + groups - 4);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ushort> EightGroups(ulong bits)
    {
        var groups = Bmi2.X64.ParallelBitDeposit(bits, 0x3F3F_3F3F_3F3F_3F3F);
        return Vector128.ShiftLeft(Vector128.WidenLower(Vector128.CreateScalarUnsafe(groups).AsByte()), Shift);
    }
}
