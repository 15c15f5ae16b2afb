using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary>A network's last layer, prepared once for an instruction set: each channel's mean over the map, then a linear layer.</summary>
/// <remarks>
/// <para>mean[c] = Σ_p map[p][c] / pixels; logits[k] = bias[k] + Σ_c weight[k][c]·mean[c].</para>
/// <para>Instances can be used by several threads at once.</para>
/// </remarks>
public abstract unsafe class PooledClassifier : IDisposable
{
    /// <summary>Means lie in so many values more than there are channels, at most; 0 behind the last one.</summary>
    public const int MeanMultiple = 16;

    private protected PooledClassifier(int channels, int classes) => (Channels, Classes) = (channels, classes);

    /// <summary>Prepares a classifier.</summary>
    /// <param name="set">The instruction set.</param>
    /// <param name="channels">Of the map.</param>
    /// <param name="classes">Logits.</param>
    /// <param name="weights">classes × channels.</param>
    /// <param name="bias">One a class.</param>
    /// <exception cref="PlatformNotSupportedException">This processor lacks the instruction set.</exception>
    public static PooledClassifier Create(InstructionSet set, int channels, int classes, float* weights, float* bias) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new PooledClassifier<Avx512Floats, Vector512<float>>(channels, classes, weights, bias),
        InstructionSet.Avx2 => new PooledClassifier<Avx2Floats, Vector256<float>>(channels, classes, weights, bias),
        InstructionSet.AdvSimd => new PooledClassifier<AdvSimdFloats, Vector128<float>>(channels, classes, weights, bias),
        _ => new PooledClassifier<ScalarFloats, float>(channels, classes, weights, bias),
    };

    /// <summary>Channels of the map.</summary>
    public int Channels { get; }

    /// <summary>Logits.</summary>
    public int Classes { get; }

    /// <summary>Values that the means take: the channels, rounded up.</summary>
    public int Means => (Channels + MeanMultiple - 1) / MeanMultiple * MeanMultiple;

    /// <summary>The means of some channels.</summary>
    /// <param name="pixels">Pixels of the map.</param>
    /// <param name="map">pixels × channels.</param>
    /// <param name="first">The first channel.</param>
    /// <param name="count">How many.</param>
    /// <param name="means"><see cref="Means"/> values, of which these channels' are written.</param>
    public abstract void Average(int pixels, float* map, int first, int count, float* means);

    /// <summary>The logits of some classes.</summary>
    /// <param name="means"><see cref="Means"/> values; 0 behind the last channel.</param>
    /// <param name="first">The first class.</param>
    /// <param name="count">How many.</param>
    /// <param name="logits">All classes', of which these are written.</param>
    public abstract void Classify(float* means, int first, int count, float* logits);

    /// <inheritdoc/>
    public abstract void Dispose();
}
