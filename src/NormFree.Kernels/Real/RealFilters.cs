using System.Runtime.Intrinsics;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary>A convolution of real numbers with its filters, prepared once for an instruction set: first layers.</summary>
/// <remarks>
/// <para>result[y][x][o] = bias[o] + Σ_c Σ_tap weight[o][c][tap]·source[c][q(y, x, tap)]; outside the map the source is 0. Sums are added up in this order,
/// whatever part of the map is asked for.</para>
/// <para>Instances can be used by several threads at once.</para>
/// </remarks>
public abstract unsafe class RealFilters : IDisposable
{
    private protected RealFilters(in ConvolutionShape shape) => Shape = shape;

    /// <summary>Prepares filters.</summary>
    /// <param name="set">The instruction set.</param>
    /// <param name="shape">The convolution; the map's and the batch's sizes do not matter.</param>
    /// <param name="weights">O × C × rows × columns.</param>
    /// <param name="bias">One a filter.</param>
    /// <exception cref="PlatformNotSupportedException">This processor lacks the instruction set.</exception>
    public static RealFilters Create(InstructionSet set, in ConvolutionShape shape, float* weights, float* bias) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new RealFilters<Avx512Floats, Vector512<float>>(shape, weights, bias),
        InstructionSet.Avx2 => new RealFilters<Avx2Floats, Vector256<float>>(shape, weights, bias),
        InstructionSet.AdvSimd => new RealFilters<AdvSimdFloats, Vector128<float>>(shape, weights, bias),
        _ => new RealFilters<ScalarFloats, float>(shape, weights, bias),
    };

    /// <summary>The convolution; the map's and the batch's sizes do not matter.</summary>
    public ConvolutionShape Shape { get; }

    /// <summary>Scratch that <see cref="Rows"/> takes for so many rows of a map of such a width, in bytes.</summary>
    public abstract long ScratchBytes(int width, int rows);

    /// <summary>Computes rows of the result.</summary>
    /// <param name="source">The whole source.</param>
    /// <param name="firstRow">The first row of the result.</param>
    /// <param name="rows">How many.</param>
    /// <param name="scratch">Holds <see cref="ScratchBytes"/>.</param>
    /// <param name="result">rows × W' × O: where the first of these rows begins.</param>
    public abstract void Rows(in RealMap source, int firstRow, int rows, Scratch scratch, float* result);

    /// <inheritdoc/>
    public abstract void Dispose();
}
