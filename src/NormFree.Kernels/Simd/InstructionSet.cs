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

/// <summary>Detects the instruction sets of this processor, and chooses the one that kernels use.</summary>
public static class InstructionSets
{
    private static readonly Lock Gate = new();
    private static InstructionSet? chosen;
    private static bool isRead;

    /// <summary>The instruction sets of this processor, slowest first; always includes <see cref="InstructionSet.Scalar"/>.</summary>
    public static IReadOnlyList<InstructionSet> Supported { get; } = [.. Enum.GetValues<InstructionSet>().Where(IsSupported)];

    /// <summary>The instruction set of kernels that are not asked for another: the fastest of this processor, unless <see cref="Use"/> chose one.</summary>
    public static InstructionSet Best
    {
        get
        {
            lock (Gate)
            {
                isRead = true;
                return chosen ?? Supported[^1];
            }
        }
    }

    /// <summary>Whether <see cref="Best"/> is AVX-512 and the processor multiplies bfloat16 numbers (AVX512_BF16: CPUID leaf 7, subleaf 1).</summary>
    public static bool HasBFloat16 => Best == InstructionSet.Avx512 && X86Base.CpuId(7, 0).Eax >= 1 && (X86Base.CpuId(7, 1).Eax & 1 << 5) != 0;

    /// <summary>Chooses the instruction set of this process, for example to measure what slower processors would do. Call it before any kernel runs.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    /// <exception cref="InvalidOperationException">Kernels use another instruction set already.</exception>
    public static void Use(InstructionSet set)
    {
        Require(set);
        lock (Gate)
        {
            var used = chosen ?? Supported[^1];
            if (isRead && used != set)
                throw new InvalidOperationException($"Kernels use {used} already: choose {set} before the first computation of the process.");
            chosen = set;
        }
    }

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
