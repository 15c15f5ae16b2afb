using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Filters;

/// <summary>Sizes of a convolution's filters and how they are computed from the latent weight w (O×I×kh×kw, contiguous).</summary>
/// <remarks>
/// Float filters are factor·gain·v; binary filters are factor·gain·s·sign(v) with s = mean(|v|). v is w, or the scaled weight standardisation
/// (w − mean)/(σ + 1e-5)/√n over the n = I·taps weights of a filter. sign(0) = +1, since a bit has no third value (deviation 13). Brock et al.,
/// "Characterizing signal propagation" (ICLR 2021), eq. 2; Rastegari et al., "XNOR-Net" (ECCV 2016), section 3.1.
/// </remarks>
/// <param name="Out">O, number of filters.</param>
/// <param name="In">I, input channels.</param>
/// <param name="Taps">kh·kw, positions of a filter, row by row.</param>
/// <param name="Standardised">Whether v is the standardised weight.</param>
/// <param name="Factor">Constant factor of all filters.</param>
public readonly record struct FilterBank(int Out, int In, int Taps, bool Standardised = false, float Factor = 1)
{
    /// <summary>n, weights per filter.</summary>
    public int Size => In * Taps;

    /// <summary>⌈I/64⌉, words of packed signs per filter and tap.</summary>
    public int Words => (In + 63) / 64;

    /// <summary>Length of the packed signs, <c>ulong[O][taps][⌈I/64⌉]</c>: bit c mod 64 of word ⌊c/64⌋ is set where v ≥ 0; unused bits are 0.</summary>
    public long SignWords => (long)Out * Taps * Words;

    /// <summary>Length of the signs by channel, <c>uint[taps][⌈O/32⌉][I']</c>.</summary>
    public long SignsByChannel => (long)Taps * ((Out + 31) / 32) * PaddedIn;

    /// <summary>Length of the signs by filter, <c>uint[taps][⌈I/32⌉][O']</c>.</summary>
    public long SignsByFilter => (long)Taps * ((In + 31) / 32) * PaddedOut;

    /// <summary>I', input channels rounded up to a multiple of 64.</summary>
    public int PaddedIn => (In + 63) / 64 * 64;

    /// <summary>O', filters rounded up to a multiple of 64.</summary>
    public int PaddedOut => (Out + 63) / 64 * 64;

    /// <summary>N, weights of all filters.</summary>
    internal long Weights => (long)Out * Size;

    /// <summary>
    /// Filters per task, independent of the number of threads. A task is large compared with the cost of starting it. A small bank is one task, which
    /// finishes before another thread wakes up (about 40 µs if waiting threads sleep).
    /// </summary>
    internal int FiltersPerTask => Weights < 1 << 17 ? Math.Max(1, Out) : Math.Max(1, 16384 / Math.Max(1, Size));

    /// <summary>Tasks of <see cref="FiltersPerTask"/> filters; the last may have fewer.</summary>
    internal int Tasks => (Out + FiltersPerTask - 1) / FiltersPerTask;

    /// <summary>Workers for transposing signs. Small banks use one thread, since transposing takes 0.1 ns per weight.</summary>
    internal IWorkers SignWorkers(IWorkers workers) => Weights < 1 << 19 ? OneThread.Instance : workers;
}

/// <summary>Memory layout of the values of filters.</summary>
public enum FilterLayout
{
    /// <summary>O×taps×I, PyTorch's channels-last format.</summary>
    ChannelsLast,

    /// <summary>O×I×taps, PyTorch's contiguous format.</summary>
    Contiguous,
}

/// <summary>Statistics of a filter that the backward pass needs.</summary>
/// <param name="Mean">Mean of w; 0 without standardisation.</param>
/// <param name="StandardDeviation">σ, the biased standard deviation of w, at least 1e-15; 0 without standardisation.</param>
/// <param name="MeanAbsolute">s = mean(|v|); 0 for float filters.</param>
public readonly record struct FilterStatistics(float Mean, float StandardDeviation, float MeanAbsolute)
{
    /// <summary>ε of the standardisation; added to σ, not to the variance, as in the published code.</summary>
    internal const double Epsilon = 1e-5;

    /// <summary>Lower limit of σ. It is far below ε, so it changes no result, and keeps the gradient finite for a filter of equal weights.</summary>
    internal const double MinStandardDeviation = 1e-15;

    /// <summary>The factor in v = (w − mean)·factor: 1/((σ + ε)·√n), or 1 without standardisation.</summary>
    internal double Normaliser(in FilterBank bank) => bank.Standardised ? Normaliser(bank, StandardDeviation) : 1;

    /// <summary>1/((σ + ε)·√n).</summary>
    internal static double Normaliser(in FilterBank bank, double deviation) => 1 / ((deviation + Epsilon) * Math.Sqrt(bank.Size));
}
