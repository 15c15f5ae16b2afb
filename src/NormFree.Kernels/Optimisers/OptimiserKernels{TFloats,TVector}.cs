using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Optimisers;

/// <inheritdoc/>
internal sealed unsafe class OptimiserKernels<TFloats, TVector> : OptimiserKernels
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override long[] Clip(ReadOnlySpan<ClippedTensor> tensors, double factor, IWorkers workers)
    {
        var list = tensors.ToArray();
        var clipped = new long[list.Length];
        var pieces = new Pieces(list.Length, i => list[i].Units, i => list[i].UnitSize);
        workers.Run(pieces.Count, index =>
        {
            var (tensor, first, end) = pieces[index];
            var size = list[tensor].UnitSize;
            var p = (float*)list[tensor].Parameter;
            var g = (float*)list[tensor].Gradient;
            var count = 0;
            for (var unit = first; unit < end; unit++)
            {
                var limit = Math.Max(Norm(p + unit * size, size), AgcLimits.MinParameterNorm) * factor;
                var norm = Norm(g + unit * size, size);
                if (!(norm >= limit)) continue; // nor where a gradient is not a number
                Scale(g + unit * size, size, (float)(limit / Math.Max(norm, AgcLimits.MinGradientNorm)));
                count++;
            }
            Interlocked.Add(ref clipped[tensor], count);
        });
        return clipped;
    }

    /// <inheritdoc/>
    public override double[] Norms(ReadOnlySpan<FloatTensor> tensors, IWorkers workers)
    {
        var list = tensors.ToArray();
        var pieces = new Pieces(list.Length, i => list[i].Count, _ => 1);
        var squares = new double[pieces.Count];
        workers.Run(pieces.Count, index =>
        {
            var (tensor, first, end) = pieces[index];
            squares[index] = Squares((float*)list[tensor].Values + first, (int)(end - first));
        });
        var totals = new double[list.Length];
        for (var index = 0; index < squares.Length; index++) totals[pieces[index].Tensor] += squares[index];
        return Array.ConvertAll(totals, Math.Sqrt);
    }

    /// <inheritdoc/>
    public override void Adam(ReadOnlySpan<OptimisedTensor> tensors, AdamStep step, IWorkers workers) =>
        Update(tensors, workers, tensor => new AdamUpdate<TFloats, TVector>(step with { Rate = step.Rate * tensor.RateFactor }, tensor.WeightDecay));

    /// <inheritdoc/>
    public override void Descend(ReadOnlySpan<OptimisedTensor> tensors, double rate, double momentum, IWorkers workers) =>
        Update(tensors, workers, tensor => new DescentUpdate<TFloats, TVector>(rate * tensor.RateFactor, momentum, tensor.WeightDecay));

    private static void Update<TUpdate>(ReadOnlySpan<OptimisedTensor> tensors, IWorkers workers, Func<OptimisedTensor, TUpdate> make)
        where TUpdate : struct, IUpdate
    {
        var list = tensors.ToArray();
        var pieces = new Pieces(list.Length, i => list[i].Count, _ => 1);
        workers.Run(pieces.Count, index =>
        {
            var (tensor, first, end) = pieces[index];
            var of = list[tensor];
            Sweep(make(of), (float*)of.Parameter, (float*)of.Gradient, (float*)of.Mean, (float*)of.Square, first, end);
        });
    }

    private static void Sweep<TUpdate>(TUpdate update, float* p, float* g, float* m, float* v, long first, long end)
        where TUpdate : struct, IUpdate
    {
        var i = first;
        for (; i <= end - TFloats.Lanes; i += TFloats.Lanes) update.Apply(p + i, g + i, m + i, v + i);
        if (i == end) return;
        // The rest goes through the same instructions, from a vector's worth of memory that has room behind it.
        var rest = stackalloc float[4 * 16];
        var bytes = (end - i) * sizeof(float);
        new Span<float>(rest, 4 * 16).Clear();
        Buffer.MemoryCopy(p + i, rest, bytes, bytes);
        Buffer.MemoryCopy(g + i, rest + 16, bytes, bytes);
        Buffer.MemoryCopy(m + i, rest + 32, bytes, bytes);
        if (v != null) Buffer.MemoryCopy(v + i, rest + 48, bytes, bytes);
        update.Apply(rest, rest + 16, rest + 32, rest + 48);
        Buffer.MemoryCopy(rest, p + i, bytes, bytes);
        Buffer.MemoryCopy(rest + 32, m + i, bytes, bytes);
        if (v != null) Buffer.MemoryCopy(rest + 48, v + i, bytes, bytes);
    }

    private static double Norm(float* x, int count) => Math.Sqrt(Squares(x, count));

    /// <summary>Σx²: blocks in floats, their sums in double precision.</summary>
    private static double Squares(float* x, int count)
    {
        const int block = 512;
        var lanes = TFloats.Lanes;
        double total = 0;
        var whole = count / (4 * lanes) * (4 * lanes);
        for (var start = 0; start < whole; start += block)
        {
            var zero = TFloats.Broadcast(0);
            var (a, b, c, d) = (zero, zero, zero, zero);
            for (var i = start; i < Math.Min(whole, start + block); i += 4 * lanes)
            {
                a = Square(x + i, a);
                b = Square(x + i + lanes, b);
                c = Square(x + i + 2 * lanes, c);
                d = Square(x + i + 3 * lanes, d);
            }
            total += TFloats.Sum(TFloats.Add(TFloats.Add(a, b), TFloats.Add(c, d)));
        }
        for (var i = whole; i < count; i++) total += (double)x[i] * x[i];
        return total;
    }

    private static TVector Square(float* x, TVector sum) => TFloats.MultiplyAdd(TFloats.Load(x), TFloats.Load(x), sum);

    private static void Scale(float* x, int count, float factor)
    {
        var factors = TFloats.Broadcast(factor);
        var i = 0;
        for (; i <= count - TFloats.Lanes; i += TFloats.Lanes) TFloats.Store(TFloats.Multiply(factors, TFloats.Load(x + i)), x + i);
        for (; i < count; i++) x[i] *= factor;
    }
}
