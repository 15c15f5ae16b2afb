using System.Runtime.Intrinsics;
using NormFree.Kernels.Simd;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Optimisers;

/// <summary>Gradient clipping and optimiser steps over all tensors; each call is one parallel region.</summary>
/// <remarks>
/// All of them are bound by memory; the bytes are given for N float32 values. A value or unit is processed by one task, so that results do not depend on the
/// threads or on how tensors are split into chunks. Addresses need no alignment.
/// </remarks>
public abstract class OptimiserKernels
{
    /// <summary>The implementation for the fastest instruction set of this processor.</summary>
    public static OptimiserKernels Best { get; } = For(InstructionSets.Best);

    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static OptimiserKernels For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new OptimiserKernels<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new OptimiserKernels<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new OptimiserKernels<AdvSimdFloats, Vector128<float>>(),
        _ => new OptimiserKernels<ScalarFloats, float>(),
    };

    /// <summary>Adaptive gradient clipping: g ← g·max(‖p‖, p_min)·λ / max(‖g‖, g_min) for every unit with ‖g‖ ≥ max(‖p‖, p_min)·λ; bounds as in <see cref="AgcLimits"/>.</summary>
    /// <remarks>Reads 8·N bytes, and writes four for each value of a clipped unit, which is in the cache then. Brock et al., ICML 2021, eq. 3.</remarks>
    /// <param name="tensors">Parameters and gradients.</param>
    /// <param name="factor">λ.</param>
    /// <param name="workers">Threads.</param>
    /// <returns>Number of clipped units of each tensor, in the order of <paramref name="tensors"/>.</returns>
    public abstract long[] Clip(ReadOnlySpan<ClippedTensor> tensors, double factor, IWorkers workers);

    /// <summary>√Σx² of each tensor. Not finite if a value is not finite or its square overflows a float.</summary>
    /// <remarks>Reads 4·N bytes. Sums are float32 within blocks and double precision across blocks, in an order that does not depend on the threads.</remarks>
    /// <param name="tensors">Values.</param>
    /// <param name="workers">Threads.</param>
    /// <returns>One norm per tensor, in the order of <paramref name="tensors"/>.</returns>
    public abstract double[] Norms(ReadOnlySpan<FloatTensor> tensors, IWorkers workers);

    /// <summary>Adam: m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²; p ← p − rate·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε).</summary>
    /// <remarks>Reads 16·N bytes and writes 12·N. Kingma and Ba (ICLR 2015); AdamW: Loshchilov and Hutter (ICLR 2019).</remarks>
    /// <param name="tensors">Parameters, gradients and state.</param>
    /// <param name="step">Hyperparameters of this step.</param>
    /// <param name="workers">Threads.</param>
    public abstract void Adam(ReadOnlySpan<OptimisedTensor> tensors, AdamStep step, IWorkers workers);

    /// <summary>SGD with Nesterov momentum: b ← momentum·b + g; p ← p − rate·(g + momentum·b). Weight decay·p is added to g first.</summary>
    /// <remarks>Reads 12·N bytes and writes 8·N.</remarks>
    /// <param name="tensors">Parameters, gradients and momentum buffers.</param>
    /// <param name="rate">Learning rate.</param>
    /// <param name="momentum">In [0, 1).</param>
    /// <param name="workers">Threads.</param>
    public abstract void Sgd(ReadOnlySpan<OptimisedTensor> tensors, double rate, double momentum, IWorkers workers);
}

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
        var chunks = new TensorChunks(list.Length, i => list[i].Units, i => list[i].UnitSize);
        workers.Run(chunks.Count, index =>
        {
            var (tensor, first, end) = chunks[index];
            var size = list[tensor].UnitSize;
            var p = (float*)list[tensor].Parameter;
            var g = (float*)list[tensor].Gradient;
            var count = 0;
            for (var unit = first; unit < end; unit++)
            {
                var limit = Math.Max(Norm(p + unit * size, size), AgcLimits.MinParameterNorm) * factor;
                var norm = Norm(g + unit * size, size);
                if (!(norm >= limit)) continue; // also if the norm is NaN
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
        var chunks = new TensorChunks(list.Length, i => list[i].Count, _ => 1);
        var squares = new double[chunks.Count];
        workers.Run(chunks.Count, index =>
        {
            var (tensor, first, end) = chunks[index];
            squares[index] = Squares((float*)list[tensor].Values + first, (int)(end - first));
        });
        var totals = new double[list.Length];
        for (var index = 0; index < squares.Length; index++) totals[chunks[index].Tensor] += squares[index];
        return Array.ConvertAll(totals, Math.Sqrt);
    }

    /// <inheritdoc/>
    public override void Adam(ReadOnlySpan<OptimisedTensor> tensors, AdamStep step, IWorkers workers) =>
        Update(tensors, workers, tensor => new AdamUpdate<TFloats, TVector>(step with { LearningRate = step.LearningRate * tensor.LearningRateFactor }, tensor.WeightDecay));

    /// <inheritdoc/>
    public override void Sgd(ReadOnlySpan<OptimisedTensor> tensors, double rate, double momentum, IWorkers workers) =>
        Update(tensors, workers, tensor => new SgdUpdate<TFloats, TVector>(rate * tensor.LearningRateFactor, momentum, tensor.WeightDecay));

    private static void Update<TUpdate>(ReadOnlySpan<OptimisedTensor> tensors, IWorkers workers, Func<OptimisedTensor, TUpdate> make)
        where TUpdate : struct, IUpdate
    {
        var list = tensors.ToArray();
        var chunks = new TensorChunks(list.Length, i => list[i].Count, _ => 1);
        workers.Run(chunks.Count, index =>
        {
            var (tensor, first, end) = chunks[index];
            var values = list[tensor];
            UpdateChunk(make(values), (float*)values.Parameter, (float*)values.Gradient, (float*)values.Mean, (float*)values.Square, first, end);
        });
    }

    private static void UpdateChunk<TUpdate>(TUpdate update, float* p, float* g, float* m, float* v, long first, long end)
        where TUpdate : struct, IUpdate
    {
        var i = first;
        for (; i <= end - TFloats.Lanes; i += TFloats.Lanes) update.Apply(p + i, g + i, m + i, v + i);
        if (i == end) return;
        // The tail uses the same instructions, on a copy that is padded to a whole vector.
        var tail = stackalloc float[4 * 16];
        var bytes = (end - i) * sizeof(float);
        new Span<float>(tail, 4 * 16).Clear();
        Buffer.MemoryCopy(p + i, tail, bytes, bytes);
        Buffer.MemoryCopy(g + i, tail + 16, bytes, bytes);
        Buffer.MemoryCopy(m + i, tail + 32, bytes, bytes);
        if (v != null) Buffer.MemoryCopy(v + i, tail + 48, bytes, bytes);
        update.Apply(tail, tail + 16, tail + 32, tail + 48);
        Buffer.MemoryCopy(tail, p + i, bytes, bytes);
        Buffer.MemoryCopy(tail + 32, m + i, bytes, bytes);
        if (v != null) Buffer.MemoryCopy(tail + 48, v + i, bytes, bytes);
    }

    private static double Norm(float* x, int count) => Math.Sqrt(Squares(x, count));

    /// <summary>Σx²: float32 within blocks, double precision across blocks.</summary>
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
