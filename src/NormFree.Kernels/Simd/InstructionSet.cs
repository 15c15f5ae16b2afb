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
