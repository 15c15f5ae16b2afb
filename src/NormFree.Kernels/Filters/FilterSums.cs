using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Filters;

/// <summary>
/// Sums over one filter's weights: float32 in blocks of <see cref="Block"/> values, double precision across blocks, and one by one for the tail.
/// </summary>
internal static unsafe class FilterSums<TFloats, TSigns, TVector>
    where TFloats : struct, IFloatVectors<TVector>
    where TSigns : struct, ISignVectors<TVector>
    where TVector : unmanaged
{
    private const int Block = 512;

    private static int Lanes => TFloats.Lanes;

    /// <summary>Mean and biased standard deviation, at least the lower limit. Two passes; the second corrects the mean of the first.</summary>
    public static (float Mean, float Deviation) MeanAndDeviation(float* x, int count)
    {
        var approximateMean = (float)(Sum(x, count) / count);
        var (sum, squares) = Moments(x, count, approximateMean);
        var offset = sum / count;
        var variance = squares / count - offset * offset;
        return ((float)(approximateMean + offset), (float)Math.Max(Math.Sqrt(Math.Max(variance, 0)), FilterStatistics.MinStandardDeviation));
    }

    /// <summary>Σ|x − mean|. Bit i mod 64 of <c>signs[i/64]</c> is 1 where xᵢ − mean ≥ 0, and 0 past the last value.</summary>
    public static double AbsoluteSumAndSigns(float* x, int count, float mean, ulong* signs)
    {
        var (zero, means) = (TFloats.Broadcast(0), TFloats.Broadcast(mean));
        double total = 0;
        var words = count / 64;
        for (var start = 0; start < words; start += Block / 64)
        {
            var (a, b) = (zero, zero);
            for (var word = start; word < Math.Min(words, start + Block / 64); word++)
            {
                ulong bits = 0;
                for (var lane = 0; lane < 64; lane += 2 * Lanes)
                {
                    var u = TFloats.Subtract(TFloats.Load(x + word * 64 + lane), means);
                    var v = TFloats.Subtract(TFloats.Load(x + word * 64 + lane + Lanes), means);
                    a = TFloats.Add(a, TFloats.Abs(u));
                    b = TFloats.Add(b, TFloats.Abs(v));
                    bits |= TSigns.GreaterOrEqual(u, zero) << lane | TSigns.GreaterOrEqual(v, zero) << lane + Lanes;
                }
                signs[word] = bits;
            }
            total += TFloats.Sum(TFloats.Add(a, b));
        }
        if (words * 64 == count) return total;
        ulong rest = 0;
        for (var i = words * 64; i < count; i++)
        {
            var u = x[i] - mean;
            total += Math.Abs(u);
            if (u >= 0) rest |= 1UL << (i & 63);
        }
        signs[words] = rest;
        return total;
    }

    /// <summary>Σg, Σg·(x − mean) and Σg·sign(x − mean), with sign(0) = +1.</summary>
    public static (double Sum, double Weighted, double Signed) Gradient(float* x, float* g, int count, float mean)
    {
        var (zero, means) = (TFloats.Broadcast(0), TFloats.Broadcast(mean));
        double sum = 0, weighted = 0, signed = 0;
        var whole = count / (2 * Lanes) * (2 * Lanes);
        for (var start = 0; start < whole; start += Block)
        {
            var (p, q, s, r, t, n) = (zero, zero, zero, zero, zero, zero);
            for (var i = start; i < Math.Min(whole, start + Block); i += 2 * Lanes)
            {
                var (d, u) = (TFloats.Load(g + i), TFloats.Subtract(TFloats.Load(x + i), means));
                p = TFloats.Add(p, d);
                q = TFloats.MultiplyAdd(d, u, q);
                s = TFloats.Add(s, TFloats.Select(TFloats.LessThan(u, zero), d, zero));
                (d, u) = (TFloats.Load(g + i + Lanes), TFloats.Subtract(TFloats.Load(x + i + Lanes), means));
                r = TFloats.Add(r, d);
                t = TFloats.MultiplyAdd(d, u, t);
                n = TFloats.Add(n, TFloats.Select(TFloats.LessThan(u, zero), d, zero));
            }
            double all = TFloats.Sum(TFloats.Add(p, r));
            sum += all;
            weighted += TFloats.Sum(TFloats.Add(q, t));
            signed += all - 2.0 * TFloats.Sum(TFloats.Add(s, n)); // s and n sum the gradients of negative weights
        }
        for (var i = whole; i < count; i++)
        {
            var u = x[i] - mean;
            sum += g[i];
            weighted += (double)g[i] * u;
            signed += u < 0 ? -g[i] : g[i];
        }
        return (sum, weighted, signed);
    }

    private static double Sum(float* x, int count)
    {
        double total = 0;
        var whole = count / (4 * Lanes) * (4 * Lanes);
        for (var start = 0; start < whole; start += Block)
        {
            var zero = TFloats.Broadcast(0);
            var (a, b, c, d) = (zero, zero, zero, zero);
            for (var i = start; i < Math.Min(whole, start + Block); i += 4 * Lanes)
            {
                a = TFloats.Add(a, TFloats.Load(x + i));
                b = TFloats.Add(b, TFloats.Load(x + i + Lanes));
                c = TFloats.Add(c, TFloats.Load(x + i + 2 * Lanes));
                d = TFloats.Add(d, TFloats.Load(x + i + 3 * Lanes));
            }
            total += TFloats.Sum(TFloats.Add(TFloats.Add(a, b), TFloats.Add(c, d)));
        }
        for (var i = whole; i < count; i++) total += x[i];
        return total;
    }

    /// <summary>Σ(x − mean) and Σ(x − mean)².</summary>
    private static (double Sum, double Squares) Moments(float* x, int count, float mean)
    {
        var (zero, means) = (TFloats.Broadcast(0), TFloats.Broadcast(mean));
        double sum = 0, squares = 0;
        var whole = count / (2 * Lanes) * (2 * Lanes);
        for (var start = 0; start < whole; start += Block)
        {
            var (a, b, p, q) = (zero, zero, zero, zero);
            for (var i = start; i < Math.Min(whole, start + Block); i += 2 * Lanes)
            {
                var u = TFloats.Subtract(TFloats.Load(x + i), means);
                var v = TFloats.Subtract(TFloats.Load(x + i + Lanes), means);
                (a, p) = (TFloats.Add(a, u), TFloats.MultiplyAdd(u, u, p));
                (b, q) = (TFloats.Add(b, v), TFloats.MultiplyAdd(v, v, q));
            }
            sum += TFloats.Sum(TFloats.Add(a, b));
            squares += TFloats.Sum(TFloats.Add(p, q));
        }
        for (var i = whole; i < count; i++)
        {
            double u = x[i] - mean;
            sum += u;
            squares += u * u;
        }
        return (sum, squares);
    }
}
