using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Packed;

/// <summary>Memory encodings of a pixel's signs; the instruction set's convolution determines which one is used.</summary>
public enum SignEncoding
{
    /// <summary>64 channels per word, one bit each, as <c>SignPacking</c> writes them.</summary>
    Words,

    /// <summary>
    /// Six channels per 16 bits: the six signs as a number times 64, which is the byte offset of their lookup table. Every 64 channels start a new group, so
    /// they take eleven groups, the last with four channels.
    /// </summary>
    SixBits,

    /// <summary>Four channels per 16 bits: the four signs as a number times 32, which is the byte offset of their lookup table.</summary>
    FourBits,
}

/// <summary>Writes and reads one <see cref="SignEncoding"/>.</summary>
public unsafe interface ISignEncoder
{
    /// <summary>Writes up to 64 channels, and no byte past them.</summary>
    /// <param name="bits">Bit c is the sign of channel c, 1 for +1; bits past the last channel are 0.</param>
    /// <param name="channels">Number of channels.</param>
    /// <param name="target">Address of the first channel.</param>
    static abstract void Write(ulong bits, int channels, byte* target);

    /// <summary>Reads what <see cref="Write"/> wrote.</summary>
    static abstract ulong Read(byte* source, int channels);
}

/// <summary>Writes and reads <see cref="SignEncoding.Words"/>.</summary>
public readonly unsafe struct WordEncoder : ISignEncoder
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(ulong bits, int channels, byte* target) => *(ulong*)target = bits;

    /// <inheritdoc/>
    public static ulong Read(byte* source, int channels) => *(ulong*)source;
}

/// <summary>Writes and reads <see cref="SignEncoding.FourBits"/>.</summary>
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

    /// <summary>Splits each byte into its two halves and widens them to 16 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteBlock(ulong bits, byte* target)
    {
        var pairs = Vector128.WidenLower(Vector128.CreateScalarUnsafe(bits).AsByte());
        var halves = ((pairs | Vector128.ShiftLeft(pairs, 4)) & Vector128.Create((ushort)0x0F0F)).AsByte();
        Vector128.ShiftLeft(Vector128.WidenLower(halves), Shift).Store((ushort*)target);
        Vector128.ShiftLeft(Vector128.WidenUpper(halves), Shift).Store((ushort*)target + Vector128<ushort>.Count);
    }
}

/// <summary>Writes and reads <see cref="SignEncoding.SixBits"/>.</summary>
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

    /// <summary>Writes the first eight groups with one bit deposit, then the last eight of the eleven, five of which overlap.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteBlock(ulong bits, byte* target)
    {
        EightGroups(bits).Store((ushort*)target);
        EightGroups(bits >> 3 * Group).Store((ushort*)target + 3);
    }

    /// <summary>Writes four to eight groups: the first four, then the last four, which may overlap.</summary>
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
