using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Bits;

/// <summary>Packs the signs of a float map, one bit per value.</summary>
/// <remarks>
/// <para>bit(p, c) = (β·x[p][c] + b[c] ≥ 0). sign(0) = +1, since a bit has no third value (deviation 13); NaN packs as −1.</para>
/// <para>The product is rounded to float32, then the sum, on every instruction set. A fused multiply-add would round once and could flip signs relative to
/// the PyTorch layers.</para>
/// <para>Word w of a pixel holds channels 64·w … 64·w + 63, lowest bit first. Bits past the last channel are 0.</para>
/// </remarks>
public abstract unsafe class SignPacking
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static SignPacking For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new SignPacking<Avx512Floats, Avx512Signs, Vector512<float>>(),
        InstructionSet.Avx2 => new SignPacking<Avx2Floats, Avx2Signs, Vector256<float>>(),
        InstructionSet.AdvSimd => new SignPacking<AdvSimdFloats, AdvSimdSigns, Vector128<float>>(),
        _ => new SignPacking<ScalarFloats, ScalarSigns, float>(),
    };

    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static SignPacking Best { get; } = For(InstructionSets.Best);

    /// <summary>⌈C/64⌉, words per pixel.</summary>
    public static int Words(int channels) => (channels + 63) / 64;

    /// <summary>Whether a packed sign is +1.</summary>
    /// <param name="words">Rows × ⌈C/64⌉ words; a row is a pixel of a map or a tap of a filter.</param>
    /// <param name="row">Index of the row.</param>
    /// <param name="channels">C.</param>
    /// <param name="channel">Index of the channel.</param>
    public static bool IsPlus(ReadOnlySpan<ulong> words, int row, int channels, int channel) =>
        (words[row * Words(channels) + channel / 64] >> channel % 64 & 1) == 1;

    /// <summary>Packs a range of pixels; threads divide the work by ranges.</summary>
    /// <param name="source">x from the first pixel, pixels × C.</param>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="channels">C.</param>
    /// <param name="scale">β.</param>
    /// <param name="shift">b, C values; null for none.</param>
    /// <param name="target">pixels × ⌈C/64⌉ words.</param>
    public abstract void Pack(float* source, long pixels, int channels, float scale, float* shift, ulong* target);
}

/// <summary><see cref="SignPacking"/> for one instruction set.</summary>
internal sealed unsafe class SignPacking<TFloats, TSigns, TVector> : SignPacking
    where TFloats : struct, IFloatVectors<TVector>
    where TSigns : struct, ISignVectors<TVector>
    where TVector : unmanaged
{
    private const int Bits = 64;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Pack(float* source, long pixels, int channels, float scale, float* shift, ulong* target)
    {
        var zeros = stackalloc float[Bits];
        for (var i = 0; i < Bits; i++) zeros[i] = 0;
        int whole = channels / Bits, rest = channels % Bits;
        if (channels == TFloats.Lanes && channels < Bits)
        {
            OneVector(source, pixels, scale, shift == null ? zeros : shift, target);
            return;
        }
        for (var end = source + pixels * channels; source < end;)
        {
            for (var word = 0; word < whole; word++, source += Bits) *target++ = Word(source, scale, shift == null ? zeros : shift + word * Bits);
            if (rest == 0) continue;
            *target++ = Rest(source, rest, scale, shift == null ? zeros : shift + whole * Bits);
            source += rest;
        }
    }

    /// <summary>Packs pixels whose channels are one vector, with its shift in a register.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void OneVector(float* source, long pixels, float scale, float* shift, ulong* target)
    {
        TVector factor = TFloats.Broadcast(scale), bias = TFloats.Load(shift), zero = TFloats.Broadcast(0);
        for (var end = target + pixels; target < end; target++, source += TFloats.Lanes)
            *target = TSigns.GreaterOrEqual(TFloats.Add(TFloats.Multiply(TFloats.Load(source), factor), bias), zero);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Word(float* source, float scale, float* shift)
    {
        var factor = TFloats.Broadcast(scale);
        var bits = 0UL;
        for (var i = 0; i < Bits; i += TFloats.Lanes) bits |= Signs(source + i, factor, shift + i) << i;
        return bits;
    }

    /// <summary>Packs fewer than 64 channels; those that do not fill a vector one by one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Rest(float* source, int count, float scale, float* shift)
    {
        var factor = TFloats.Broadcast(scale);
        var bits = 0UL;
        var i = 0;
        for (; i <= count - TFloats.Lanes; i += TFloats.Lanes) bits |= Signs(source + i, factor, shift + i) << i;
        for (; i < count; i++) bits |= ScalarSigns.GreaterOrEqual(source[i] * scale + shift[i], 0) << i;
        return bits;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Signs(float* source, TVector factor, float* shift) =>
        TSigns.GreaterOrEqual(TFloats.Add(TFloats.Multiply(TFloats.Load(source), factor), TFloats.Load(shift)), TFloats.Broadcast(0));
}
