using NormFree.Kernels.Simd;

namespace NormFree.Inference;

/// <summary>How a <see cref="PackedNetwork"/> runs. Results do not depend on the number of threads.</summary>
public sealed record PackedOptions
{
    /// <summary>The largest value of <see cref="Threads"/>.</summary>
    public const int MaxThreads = 1024;

    /// <summary>Threads that compute, the caller's included; by default one per processor.</summary>
    public int Threads { get; init; } = Math.Min(Environment.ProcessorCount, MaxThreads);

    /// <summary>The instruction set; by default the fastest. Instruction sets may round the last bit differently.</summary>
    public InstructionSet InstructionSet { get; init; } = InstructionSets.Best;
}
