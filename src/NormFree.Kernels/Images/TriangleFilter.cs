namespace NormFree.Kernels.Images;

/// <summary>One pass of <see cref="Bilinear"/> along a line: output i is Σ weights(i)[t] · input[first(i) + t], in fixed point.</summary>
internal sealed class TriangleFilter
{
    private const int FractionBits = 22;

    /// <summary>What makes of cutting bits off a rounding.</summary>
    public const int Half = 1 << (FractionBits - 1);

    private readonly int taps;
    private readonly int[] first;
    private readonly int[] used;
    private readonly int[] weights;

    /// <summary>The filter from so many pixels to so many.</summary>
    public TriangleFilter(int input, int output)
    {
        var scale = (double)input / output;
        var support = Math.Max(scale, 1);
        taps = (int)Math.Ceiling(support) * 2 + 1;
        (first, used, weights) = (new int[output], new int[output], new int[(long)taps * output]);
        for (var i = 0; i < output; i++) Fill(i, (i + 0.5) * scale, support, input);
    }

    /// <summary>Pixels of the output.</summary>
    public int Count => first.Length;

    /// <summary>The first input of an output.</summary>
    public int First(int i) => first[i];

    /// <summary>The weights of an output.</summary>
    public ReadOnlySpan<int> Weights(int i) => weights.AsSpan(i * taps, used[i]);

    /// <summary>A sum of weighted bytes as a byte.</summary>
    public static byte ToByte(int sum) => (byte)Math.Clamp(sum >> FractionBits, 0, 255);

    private void Fill(int i, double centre, double support, int input)
    {
        first[i] = Math.Max(0, (int)(centre - support + 0.5));
        used[i] = Math.Min(input, (int)(centre + support + 0.5)) - first[i];
        var sum = 0.0;
        for (var t = 0; t < used[i]; t++) sum += Weight(i, t, centre, support);
        for (var t = 0; t < used[i]; t++) weights[i * taps + t] = (int)(Weight(i, t, centre, support) / sum * (1 << FractionBits) + 0.5);
    }

    private double Weight(int i, int t, double centre, double support) => Math.Max(0, 1 - Math.Abs((t + first[i] - centre + 0.5) / support));
}
