using NormFree.Kernels.Simd;

namespace NormFree.Inference;

/// <summary>How a <see cref="PackedNetwork"/> runs. Results do not depend on the number of threads.</summary>
public sealed record PackedOptions
{
    /// <summary>The largest <see cref="Threads"/>.</summary>
    public const int MostThreads = 1024;

    /// <summary>Threads that compute, the caller's among them: from 1 to <see cref="MostThreads"/>; as many as there are processors if nothing is said.</summary>
    public int Threads { get; init; } = Math.Min(Environment.ProcessorCount, MostThreads);

    /// <summary>The instruction set; another one may round the last bit of a value differently.</summary>
    public InstructionSet InstructionSet { get; init; } = InstructionSets.Best;
}
