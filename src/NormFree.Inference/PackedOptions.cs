using NormFree.Kernels.Simd;

namespace NormFree.Inference;

/// <summary>How a <see cref="PackedNetwork"/> runs. Results do not depend on the number of threads.</summary>
public sealed record PackedOptions
{
    /// <summary>Threads that compute, the caller's among them.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>The instruction set; another one may round the last bit of a value differently.</summary>
    public InstructionSet InstructionSet { get; init; } = InstructionSets.Best;
}
