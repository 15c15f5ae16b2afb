namespace NormFree.Torch.Fused;

/// <summary>The numbers that real × real convolutions multiply. Everything else is float32: master weights, shifts, sums, losses.</summary>
public enum FusedPrecision
{
    /// <summary>32 bits.</summary>
    Float32,

    /// <summary>bfloat16: 8 bits of precision, the range of float32. Products of real numbers with signs stay in float32, where tables are faster.</summary>
    BFloat16,
}
