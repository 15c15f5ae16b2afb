using System.Runtime.Intrinsics;
using NormFree.Kernels.Lookup;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Convolutions;

/// <summary>Real maps times filters of signs: the gradient of a binary convolution's input, and convolutions whose weights alone are binary.</summary>
/// <remarks>
/// <para>target[p][c] = Σ_tap Σ_k scale[k]·source[q(p, tap)][k]·sign[tap][k][c], where q is the <see cref="PixelMap"/>. Sources outside the map
/// contribute 0. Sums of four products come from tables (<c>SignTables</c>), which are made once for a source pixel and read by all taps and
/// columns.</para>
/// <para>The plain loops are <c>ReferenceConvolution</c>'s.</para>
/// </remarks>
public abstract unsafe class SignFilterProduct
{
    /// <summary>Targets and words are padded to a multiple of so many channels.</summary>
    public const int ChannelMultiple = 64;

    /// <summary>Tables of a task should fit into a core's second-level cache.</summary>
    private const int TableBytesOfTask = 512 << 10;

    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static SignFilterProduct For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new SignFilterProduct<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new SignFilterProduct<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new SignFilterProduct<AdvSimdFloats, Vector128<float>>(),
        _ => new SignFilterProduct<ScalarFloats, float>(),
    };

    /// <summary>The fastest implementation of this processor.</summary>
    public static SignFilterProduct Best { get; } = For(InstructionSets.Best);

    /// <summary>Channels of a target row in memory: those of the result, rounded up.</summary>
    public static int TargetStride(in PixelMap map) => Round(map.TargetChannels, ChannelMultiple);

    /// <summary>Target rows that a task should compute at once: tables of their sources fit into cache, and halos are shared.</summary>
    public static int RowsOfTask(in PixelMap map)
    {
        var rowBytes = (long)map.SourceWidth * PixelTables(map) * sizeof(float);
        var sourceRows = (int)Math.Max(1, TableBytesOfTask / rowBytes);
        var targetRows = map.Transposed ? sourceRows * map.Shape.StrideY : sourceRows / map.Shape.StrideY;
        return Math.Clamp(targetRows - map.Shape.KernelHeight + 1, 1, map.TargetHeight);
    }

    /// <summary>Scratch that <see cref="Rows"/> takes for so many rows, in bytes.</summary>
    public static long ScratchBytes(in PixelMap map, int rows)
    {
        var sourceRows = Math.Min(map.SourceHeight, rows * (map.Transposed ? 1 : map.Shape.StrideY) + map.Shape.KernelHeight);
        var tables = ((long)sourceRows * map.SourceWidth + 1) * PixelTables(map) * sizeof(float);
        var idle = (long)TargetStride(map) * sizeof(float);
        var columns = (long)map.Shape.KernelWidth * PaddedColumns(map) * sizeof(nint);
        return tables + idle + columns + map.Shape.Taps * (LookupPointers + 1) * sizeof(void*) + 1024;
    }

    /// <summary>Computes rows of one image's target map.</summary>
    /// <param name="map">Convolution or gradient.</param>
    /// <param name="image">The image's number in the batch.</param>
    /// <param name="firstRow">The first target row.</param>
    /// <param name="rows">How many.</param>
    /// <param name="source">The batch's source maps, N×H×W×K.</param>
    /// <param name="scale">One factor a source channel; null for none.</param>
    /// <param name="words">
    /// Signs, taps × ⌈K/32⌉ × <see cref="TargetStride"/>: bit j of word (t, w, c) is set where the sign of channel k = 32·w + j is +. Gradients take
    /// the filters as they are, not turned around.
    /// </param>
    /// <param name="scratch">Holds <see cref="ScratchBytes"/>.</param>
    /// <param name="target">rows × W' × <see cref="TargetStride"/>.</param>
    public abstract void Rows(
        in PixelMap map, int image, int firstRow, int rows, float* source, float* scale, uint* words, Scratch scratch, float* target);

    private protected const int LookupPointers = 4;

    /// <summary>Floats of a source pixel's tables.</summary>
    private protected static int PixelTables(in PixelMap map) =>
        Words(map) * SignPatterns.GroupsInWord * SignPatterns.TableSize;

    /// <summary>Words of a source pixel's channels.</summary>
    private protected static int Words(in PixelMap map) => (map.SourceChannels + 31) / 32;

    /// <summary>Target columns, and those that the last block reaches into.</summary>
    private protected static int PaddedColumns(in PixelMap map) => map.TargetWidth + LookupPointers * map.ColumnStep;

    private static int Round(int value, int multiple) => (value + multiple - 1) / multiple * multiple;
}
