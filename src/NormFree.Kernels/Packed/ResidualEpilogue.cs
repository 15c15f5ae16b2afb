using System.Runtime.Intrinsics;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Packed;

/// <summary>What follows a packed network's convolutions: scale, shortcut, RPReLU, and the next layer's signs, in one pass.</summary>
/// <remarks>
/// <para>z = scale·count + bias + shortcut; y = z + shift where z &gt; 0, else slope·z + shift; the next layer's sign is + where y ≥ its threshold.</para>
/// <para>Maps are pixels × channels of one image. Tasks may share a map: a call writes the values and signs of its own range alone.</para>
/// </remarks>
public abstract unsafe class ResidualEpilogue
{
    /// <summary>The implementation for an instruction set and an encoding of the next layer's signs.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks the instruction set.</exception>
    public static ResidualEpilogue For(InstructionSet set, SignEncoding encoding) => encoding switch
    {
        SignEncoding.SixBits => For<SixBitEncoder>(set),
        SignEncoding.FourBits => For<FourBitEncoder>(set),
        _ => For<WordEncoder>(set),
    };

    /// <summary>Finishes a part of a layer.</summary>
    /// <param name="parameters">The layer's.</param>
    /// <param name="range">The part; its first filter is a multiple of 64, as is its end where it is not the last.</param>
    /// <param name="counts">The range's pixels × filters.</param>
    /// <param name="shortcut">The shortcut's map.</param>
    /// <param name="shortcutChannels">Channels of the shortcut: it repeats where there are fewer than in the result.</param>
    /// <param name="result">The layer's map.</param>
    /// <param name="threshold">The next layer's, one a channel; null where no binary layer follows.</param>
    /// <param name="next">The next layer's signs; not used without a threshold.</param>
    public abstract void Finish(
        in EpilogueParameters parameters, in OutputRange range, int* counts, float* shortcut, int shortcutChannels, float* result, float* threshold,
        SignMap next);

    /// <summary>The signs of pixels, for maps that no binary layer has made.</summary>
    /// <param name="firstPixel">The first pixel.</param>
    /// <param name="pixels">How many.</param>
    /// <param name="map">The whole map.</param>
    /// <param name="threshold">One a channel.</param>
    /// <param name="signs">The signs of the whole map.</param>
    public abstract void Pack(int firstPixel, int pixels, float* map, float* threshold, SignMap signs);

    private static ResidualEpilogue For<TEncoder>(InstructionSet set) where TEncoder : struct, ISignEncoder => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new ResidualEpilogue<Avx512Floats, Avx512Signs, TEncoder, Vector512<float>>(),
        InstructionSet.Avx2 => new ResidualEpilogue<Avx2Floats, Avx2Signs, TEncoder, Vector256<float>>(),
        InstructionSet.AdvSimd => new ResidualEpilogue<AdvSimdFloats, AdvSimdSigns, TEncoder, Vector128<float>>(),
        _ => new ResidualEpilogue<ScalarFloats, ScalarSigns, TEncoder, float>(),
    };
}
