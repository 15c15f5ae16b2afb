using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Activations;

/// <summary>Adds a shortcut to a channels-last map. If the map has more channels than the shortcut, the shortcut repeats.</summary>
public abstract unsafe class MapAddition
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static MapAddition For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new MapAddition<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new MapAddition<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new MapAddition<AdvSimdFloats, Vector128<float>>(),
        _ => new MapAddition<ScalarFloats, float>(),
    };

    /// <summary>Computes target[p, c] = source[p, c] + shortcut[p, c mod shortcutChannels].</summary>
    /// <param name="pixels">Number of pixels.</param>
    /// <param name="channels">Channels of the map; a multiple of <paramref name="shortcutChannels"/>.</param>
    /// <param name="source">pixels × channels.</param>
    /// <param name="shortcut">pixels × shortcutChannels.</param>
    /// <param name="shortcutChannels">Channels of the shortcut.</param>
    /// <param name="target">pixels × channels; may be <paramref name="source"/>.</param>
    public abstract void Add(int pixels, int channels, float* source, float* shortcut, int shortcutChannels, float* target);
}

/// <summary><see cref="MapAddition"/> for one instruction set: whole vectors, then the remaining values one by one.</summary>
internal sealed unsafe class MapAddition<TFloats, TVector> : MapAddition
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Add(int pixels, int channels, float* source, float* shortcut, int shortcutChannels, float* target)
    {
        if (channels == shortcutChannels)
        {
            AddRun((nint)pixels * channels, source, shortcut, target);
            return;
        }
        for (var pixel = 0; pixel < pixels; pixel++, shortcut += shortcutChannels)
            for (var first = 0; first < channels; first += shortcutChannels, source += shortcutChannels, target += shortcutChannels)
                AddRun(shortcutChannels, source, shortcut, target);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void AddRun(nint values, float* source, float* shortcut, float* target)
    {
        nint i = 0;
        for (; i + TFloats.Lanes <= values; i += TFloats.Lanes) TFloats.Store(TFloats.Add(TFloats.Load(source + i), TFloats.Load(shortcut + i)), target + i);
        for (; i < values; i++) target[i] = source[i] + shortcut[i];
    }
}
