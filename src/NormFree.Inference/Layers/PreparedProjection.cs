using NormFree.Inference.Model;
using NormFree.Kernels.Activations;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Layers;

/// <summary>A shortcut's 1×1 convolution.</summary>
internal abstract unsafe class PreparedProjection(int inputs, int outputs, InstructionSet set) : IDisposable
{
    /// <summary>Channels of the pooled map.</summary>
    public int In => inputs;

    /// <summary>Filters.</summary>
    public int Out => outputs;

    /// <summary>Makes the pooled map.</summary>
    public ScaledPool Pool { get; } = ScaledPool.For(set);

    /// <summary>Prepares any projection.</summary>
    public static PreparedProjection From(int inputs, int outputs, Projection projection, InstructionSet set) => projection switch
    {
        BinaryProjection binary => new PreparedBinaryProjection(inputs, outputs, binary, set),
        RealProjection real => new PreparedRealProjection(inputs, outputs, real, set),
        _ => throw new ArgumentException($"There is no projection of kind {projection.GetType().Name}.", nameof(projection)),
    };

    /// <summary>Rows of a map of this size that a task computes at most, so that its tables stay in cache.</summary>
    public abstract long RowsOfTask(int height, int width);

    /// <summary>Scratch that <see cref="Rows"/> takes, in bytes.</summary>
    public abstract long ScratchBytes(int rows, int width);

    /// <summary>Computes rows of the result.</summary>
    /// <param name="rows">How many.</param>
    /// <param name="width">Pixels of a row.</param>
    /// <param name="pooled">rows × width × In; it may be changed.</param>
    /// <param name="scratch">Holds <see cref="ScratchBytes"/>.</param>
    /// <param name="target">rows × width × Out.</param>
    public abstract void Rows(int rows, int width, float* pooled, Scratch scratch, float* target);

    /// <inheritdoc/>
    public abstract void Dispose();
}
