using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>The instruction sets that kernels are written for, slowest first.</summary>
public enum InstructionSet
{
    /// <summary>One value at a time: runs everywhere, and is the oracle of the others.</summary>
    Scalar,

    /// <summary>128-bit vectors of 64-bit Arm processors.</summary>
    AdvSimd,

    /// <summary>256-bit vectors of x86 processors, with fused multiply-add.</summary>
    Avx2,

    /// <summary>512-bit vectors of x86 processors (F, BW, DQ and VL).</summary>
    Avx512,
}

/// <summary>What this processor has.</summary>
public static class InstructionSets
{
    /// <summary>The instruction sets of this processor, slowest first; the scalar one is always among them.</summary>
    public static IReadOnlyList<InstructionSet> Supported { get; } = [.. Enum.GetValues<InstructionSet>().Where(IsSupported)];

    /// <summary>The fastest of them.</summary>
    public static InstructionSet Best => Supported[^1];

    /// <summary>The set itself.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor lacks it.</exception>
    public static InstructionSet Require(InstructionSet set) =>
        IsSupported(set) ? set : throw new PlatformNotSupportedException($"This processor has no {set}.");

    /// <summary>Whether this processor has an instruction set.</summary>
    public static bool IsSupported(InstructionSet set) => set switch
    {
        InstructionSet.Scalar => true,
        InstructionSet.AdvSimd => AdvSimd.Arm64.IsSupported,
        InstructionSet.Avx2 => Avx2.IsSupported && Fma.IsSupported,
        InstructionSet.Avx512 => Avx512F.VL.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported,
        _ => false,
    };
}
