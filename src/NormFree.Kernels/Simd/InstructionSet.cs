using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace NormFree.Kernels.Simd;

/// <summary>The instruction sets that kernels are written for, slowest first.</summary>
public enum InstructionSet
{
    /// <summary>One value at a time: runs on every processor, and is the reference of the other sets.</summary>
    Scalar,

    /// <summary>128-bit vectors of Arm64 processors.</summary>
    AdvSimd,

    /// <summary>256-bit vectors of x86 processors, with fused multiply-add.</summary>
    Avx2,

    /// <summary>512-bit vectors of x86 processors (F, BW, DQ and VL).</summary>
    Avx512,
}

/// <summary>Detects the instruction sets of this processor.</summary>
public static class InstructionSets
{
    /// <summary>The instruction sets of this processor, slowest first; always includes <see cref="InstructionSet.Scalar"/>.</summary>
    public static IReadOnlyList<InstructionSet> Supported { get; } = [.. Enum.GetValues<InstructionSet>().Where(IsSupported)];

    /// <summary>The fastest instruction set of this processor.</summary>
    public static InstructionSet Best => Supported[^1];

    /// <summary>Returns <paramref name="set"/>, or throws.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static InstructionSet Require(InstructionSet set) =>
        IsSupported(set) ? set : throw new PlatformNotSupportedException($"This processor does not support {set}.");

    /// <summary>Whether this processor supports an instruction set.</summary>
    public static bool IsSupported(InstructionSet set) => set switch
    {
        InstructionSet.Scalar => true,
        InstructionSet.AdvSimd => AdvSimd.Arm64.IsSupported,
        InstructionSet.Avx2 => Avx2.IsSupported && Fma.IsSupported,
        InstructionSet.Avx512 => Avx512F.VL.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported,
        _ => false,
    };
}
