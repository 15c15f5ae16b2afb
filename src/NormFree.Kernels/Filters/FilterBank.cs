using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Filters;

/// <summary>The filters of one convolution: their sizes, and how they are made from its weight w (O×I×kh×kw, contiguous).</summary>
/// <remarks>
/// The filter that a convolution multiplies with is factor·gain·v, or factor·gain·s·sign(v) where it is binary; v is w, or its standardisation
/// (w − mean)/(σ + 1e-5)/√n over the n = I·taps weights of a filter, and s = mean(|v|). sign(0) = +1: a packed filter has no third value
/// (deviation 13 of the method). Brock et al., "Characterizing signal propagation" (ICLR 2021), eq. 2; Rastegari et al., "XNOR-Net" (ECCV 2016),
/// section 3.1.
/// </remarks>
/// <param name="Out">O, filters.</param>
/// <param name="In">I, channels of a filter.</param>
/// <param name="Taps">kh·kw, positions of a filter, row by row.</param>
/// <param name="Standardised">Whether v is standardised.</param>
/// <param name="Factor">Constant factor of all filters.</param>
public readonly record struct FilterBank(int Out, int In, int Taps, bool Standardised = false, float Factor = 1)
{
    /// <summary>n, weights in a filter.</summary>
    public int Size => In * Taps;

    /// <summary>64-bit words that hold the signs of one filter's channels at one tap.</summary>
    public int Words => (In + 63) / 64;

    /// <summary>Values of <c>ulong[O][taps][⌈I/64⌉]</c>, the packed signs: bit c mod 64 of word ⌊c/64⌋ is set where v ≥ 0; unused bits are 0.</summary>
    public long SignWords => (long)Out * Taps * Words;

    /// <summary>Values of <c>uint[taps][⌈O/32⌉][I']</c>, the signs by channel; I' is I rounded up to a multiple of 64.</summary>
    public long SignsByChannel => (long)Taps * ((Out + 31) / 32) * PaddedIn;

    /// <summary>Values of <c>uint[taps][⌈I/32⌉][O']</c>, the signs by filter; O' is O rounded up to a multiple of 64.</summary>
    public long SignsByFilter => (long)Taps * ((In + 31) / 32) * PaddedOut;

    /// <summary>I', channels rounded up to a multiple of 64.</summary>
    public int PaddedIn => (In + 63) / 64 * 64;

    /// <summary>O', filters rounded up to a multiple of 64.</summary>
    public int PaddedOut => (Out + 63) / 64 * 64;

    /// <summary>N, weights of all filters.</summary>
    internal long Weights => (long)Out * Size;

    /// <summary>
    /// Filters that one task works on, whatever the threads: enough that starting a task costs nothing beside its work, and all of a small bank,
    /// which is done before another thread has woken up (some 40 µs where waiting threads sleep).
    /// </summary>
    internal int FiltersPerTask => Weights < 1 << 17 ? Math.Max(1, Out) : Math.Max(1, 16384 / Math.Max(1, Size));

    /// <summary>Tasks of <see cref="FiltersPerTask"/> filters; the last may have fewer.</summary>
    internal int Tasks => (Out + FiltersPerTask - 1) / FiltersPerTask;

    /// <summary>Who transposes signs: it takes a tenth of a nanosecond a weight.</summary>
    internal IWorkers SignWorkers(IWorkers workers) => Weights < 1 << 19 ? OneThread.Instance : workers;
}

/// <summary>In which order the values of a filter lie in memory.</summary>
public enum FilterLayout
{
    /// <summary>Tap by tap, all channels of a tap side by side: O×taps×I, the order of channels-last maps.</summary>
    ChannelsLast,

    /// <summary>Channel by channel, all taps of a channel side by side: O×I×taps, the order of libtorch's contiguous weights.</summary>
    Contiguous,
}

/// <summary>What the backward pass has to know of a filter beside its weights.</summary>
/// <param name="Mean">Mean of w; 0 where the filters are not standardised.</param>
/// <param name="StandardDeviation">σ, the biased standard deviation of w, at least 1e-15; 0 where the filters are not standardised.</param>
/// <param name="MeanAbsolute">s = mean(|v|); 0 where the filters are not binary.</param>
public readonly record struct FilterStatistics(float Mean, float StandardDeviation, float MeanAbsolute)
{
    /// <summary>ε of the standardisation; outside the root, as in the published code.</summary>
    internal const double Epsilon = 1e-5;

    /// <summary>The least σ: far below ε, so that it changes no value; it keeps the root's gradient finite for a filter of equal weights.</summary>
    internal const double MinStandardDeviation = 1e-15;

    /// <summary>v = (w − mean)·this: 1/((σ + ε)·√n), or 1 for plain filters.</summary>
    internal double Normaliser(in FilterBank bank) => bank.Standardised ? Normaliser(bank, StandardDeviation) : 1;

    /// <summary>1/((σ + ε)·√n).</summary>
    internal static double Normaliser(in FilterBank bank, double deviation) => 1 / ((deviation + Epsilon) * Math.Sqrt(bank.Size));
}
