namespace NormFree.Kernels.Convolutions;

/// <summary>What the taps of a filter that lie outside the map contribute.</summary>
public enum OutsideTaps
{
    /// <summary>Nothing: zeros are padded after the sign, as torch does.</summary>
    Zero,

    /// <summary>Their weights: the map is padded with +1, as Larq's one-padding does.</summary>
    One,
}
