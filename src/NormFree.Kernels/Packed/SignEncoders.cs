using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Packed;

/// <summary>How a pixel's signs lie in memory; which one depends on how binary filters are multiplied with them.</summary>
public enum SignEncoding
{
    /// <summary>64 channels in a word, one bit each, as <c>SignPacking</c> writes them.</summary>
    Words,

    /// <summary>
    /// Six channels in 16 bits: 64 times the six signs as a number, which is where their table of 64 bytes begins. Groups begin anew every 64 channels:
    /// eleven take them, the last with four.
    /// </summary>
    SixBits,

    /// <summary>Four channels in 16 bits: 32 times the four signs as a number, which is where their table of 32 bytes begins.</summary>
    FourBits,
}

/// <summary>One of <see cref="SignEncoding"/>'s ways, to and from bits.</summary>
public unsafe interface ISignEncoder
{
    /// <summary>Writes up to 64 channels, and no byte more than they take.</summary>
    /// <param name="bits">Bit c is channel c's sign, 1 is +; those behind the last channel are 0.</param>
    /// <param name="channels">How many.</param>
    /// <param name="target">Where they begin.</param>
    static abstract void Write(ulong bits, int channels, byte* target);

    /// <summary>Reads what <see cref="Write"/> has written.</summary>
    static abstract ulong Read(byte* source, int channels);
}

/// <summary><see cref="SignEncoding.Words"/>.</summary>
public readonly unsafe struct WordEncoder : ISignEncoder
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ulong bits, int channels, byte* target) => *(ulong*)target = bits;

    /// <inheritdoc/>
    public static ulong Read(byte* source, int channels) => *(ulong*)source;
}

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
