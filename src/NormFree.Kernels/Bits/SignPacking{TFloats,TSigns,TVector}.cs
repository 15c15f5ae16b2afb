using System.Runtime.CompilerServices;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Bits;

/// <summary><see cref="SignPacking"/> on one instruction set.</summary>
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
        for (var end = source + pixels * channels; source < end;)
        {
            for (var word = 0; word < whole; word++, source += Bits) *target++ = Word(source, scale, shift == null ? zeros : shift + word * Bits);
            if (rest == 0) continue;
            *target++ = Rest(source, rest, scale, shift == null ? zeros : shift + whole * Bits);
            source += rest;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Word(float* source, float scale, float* shift)
    {
        var factor = TFloats.Broadcast(scale);
        var bits = 0UL;
        for (var i = 0; i < Bits; i += TFloats.Lanes) bits |= Signs(source + i, factor, shift + i) << i;
        return bits;
    }

    /// <summary>Fewer than 64 channels: those that do not fill a vector one by one.</summary>
    private static ulong Rest(float* source, int count, float scale, float* shift)
    {
        var factor = TFloats.Broadcast(scale);
        var bits = 0UL;
        var i = 0;
        for (; i <= count - TFloats.Lanes; i += TFloats.Lanes) bits |= Signs(source + i, factor, shift + i) << i;
        for (; i < count; i++) bits |= ScalarSigns.AtLeast(source[i] * scale + shift[i], 0) << i;
        return bits;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Signs(float* source, TVector factor, float* shift) =>
        TSigns.AtLeast(TFloats.Add(TFloats.Multiply(TFloats.Load(source), factor), TFloats.Load(shift)), TFloats.Broadcast(0));
}
