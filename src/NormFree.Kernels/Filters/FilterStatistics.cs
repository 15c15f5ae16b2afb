namespace NormFree.Kernels.Filters;

/// <summary>What the backward pass has to know of a filter beside its weights.</summary>
/// <param name="Mean">Mean of w; 0 where the filters are not standardised.</param>
/// <param name="Deviation">σ, the biased standard deviation of w, at least 1e-15; 0 where the filters are not standardised.</param>
/// <param name="MeanSize">s = mean(|v|); 0 where the filters are not binary.</param>
public readonly record struct FilterStatistics(float Mean, float Deviation, float MeanSize)
{
    /// <summary>ε of the standardisation; outside the root, as in the published code.</summary>
    internal const double Epsilon = 1e-5;

    /// <summary>The least σ: far below ε, so that it changes no value; it keeps the root's gradient finite for a filter of equal weights.</summary>
    internal const double SmallestDeviation = 1e-15;

    /// <summary>v = (w − mean)·this: 1/((σ + ε)·√n), or 1 for plain filters.</summary>
    internal double Normaliser(in FilterBank bank) => bank.Standardised ? Normaliser(bank, Deviation) : 1;

    /// <summary>1/((σ + ε)·√n).</summary>
    internal static double Normaliser(in FilterBank bank, double deviation) => 1 / ((deviation + Epsilon) * Math.Sqrt(bank.Size));
}
