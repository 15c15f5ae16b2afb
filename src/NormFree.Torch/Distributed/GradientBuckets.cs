using System.Diagnostics;
using NormFree.Distributed;
using static TorchSharp.torch;

namespace NormFree.Torch.Distributed;

/// <summary>Sums gradients over ranks in a few large messages that overlap with the backward pass.</summary>
/// <remarks>
/// Buckets are filled from the last parameter to the first, the order in which the backward pass produces gradients. A bucket is sent when the backward
/// pass of a fused layer starts that precedes all of its parameters. Gradients that no fused layer announces, such as those of the composite engine, are
/// sent after the backward pass. A single rank has no buckets: its gradients stay where autograd puts them.
/// </remarks>
/// <example><code>
/// buckets.ZeroGradients();
/// FusedBackward.Begin(buckets.OnLayerBackward);
/// loss.backward();
/// FusedBackward.End();
/// buckets.StartRemaining();
/// var time = buckets.Finish();
/// </code></example>
public sealed class GradientBuckets : IDisposable
{
    /// <summary>The default bucket size: large enough to hide latency, small enough that the first message leaves early.</summary>
    public const long DefaultBytes = 8 << 20;

    private readonly IRanks ranks;
    private readonly IReadOnlyList<Tensor> parameters;
    private readonly Dictionary<Tensor, int> partOf = new(ReferenceEqualityComparer.Instance);
    private readonly List<GradientBucket> buckets = [];

    /// <summary>Divides parameters into buckets.</summary>
    /// <param name="ranks">The job.</param>
    /// <param name="parameters">The parameters in forward order, of one type, on the CPU.</param>
    /// <param name="parts">For each parameter, the index of the network part that owns it. Parts run one after the other.</param>
    /// <param name="bytes">A bucket is full at this size.</param>
    public GradientBuckets(IRanks ranks, IReadOnlyList<Tensor> parameters, IReadOnlyList<int> parts, long bytes = DefaultBytes)
    {
        (this.ranks, this.parameters) = (ranks, parameters);
        for (var i = 0; i < parameters.Count; i++) partOf.Add(parameters[i], parts[i]);
        if (ranks.Size == 1) return;
        long[] sizes = [.. parameters.Select(parameter => parameter.numel() * parameter.element_size())];
        foreach (var (first, count, part) in Plan(sizes, parts, bytes))
            buckets.Add(new GradientBucket([.. parameters.Skip(first).Take(count)], part));
    }

    /// <summary>Number of messages per step.</summary>
    public int Count => buckets.Count;

    /// <summary>Clears all gradients, as PyTorch's zero_grad: sets them to null, or to zeros in the buckets.</summary>
    public void ZeroGradients()
    {
        if (buckets.Count == 0)
            foreach (var parameter in parameters) parameter.grad = null;
        foreach (var bucket in buckets) bucket.ZeroGradients();
    }

    /// <summary>Callback for <see cref="Fused.FusedBackward.Begin"/>: sends the buckets of all parts after the layer whose backward pass starts.</summary>
    /// <param name="inputs">The layer's inputs and parameters.</param>
    public void OnLayerBackward(IReadOnlyList<Tensor> inputs)
    {
        foreach (var input in inputs)
            if (partOf.TryGetValue(input, out var part))
            {
                StartAfter(part);
                return;
            }
    }

    /// <summary>Sends the remaining buckets once the last backward pass has ended.</summary>
    public void StartRemaining() => StartAfter(-1);

    /// <summary>Waits for all sums and makes them the gradients.</summary>
    public CommunicationTime Finish()
    {
        var start = Stopwatch.GetTimestamp();
        foreach (var bucket in buckets) bucket.Finish();
        return new CommunicationTime(
            buckets.Sum(bucket => bucket.Bytes), BusyMs(), buckets.Count == 0 ? 0 : Stopwatch.GetElapsedTime(start).TotalMilliseconds);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var bucket in buckets) bucket.Dispose();
    }

    /// <summary>Divides parameters into messages, in sending order.</summary>
    /// <param name="sizes">Bytes of each parameter, in forward order.</param>
    /// <param name="parts">The network part that owns each parameter.</param>
    /// <param name="bytes">A message is full at this size.</param>
    /// <returns>For each message its first parameter, its number of parameters, and the lowest part among them.</returns>
    public static List<(int First, int Count, int LowestPart)> Plan(IReadOnlyList<long> sizes, IReadOnlyList<int> parts, long bytes)
    {
        var messages = new List<(int, int, int)>();
        var (end, size) = (sizes.Count, 0L);
        for (var i = sizes.Count - 1; i >= 0; i--)
        {
            size += sizes[i];
            if (size < bytes && i > 0) continue;
            messages.Add((i, end - i, parts[i]));
            (end, size) = (i, 0);
        }
        return messages;
    }

    private void StartAfter(int part)
    {
        foreach (var bucket in buckets.TakeWhile(bucket => bucket.LowestPart > part)) bucket.Start(ranks);
    }

    /// <summary>The time during which at least one sum was in progress. Buckets start in list order.</summary>
    private double BusyMs()
    {
        var (ticks, until) = (0L, long.MinValue);
        foreach (var bucket in buckets)
        {
            var (start, end) = bucket.Timestamps;
            ticks += Math.Max(0, end - Math.Max(start, until));
            until = Math.Max(until, end);
        }
        return ticks * 1000.0 / Stopwatch.Frequency;
    }
}

/// <summary>The cost of one step's sums over ranks.</summary>
/// <param name="Bytes">Bytes that each rank contributed.</param>
/// <param name="BusyMs">Milliseconds during which at least one sum was in progress, including waiting for slower ranks.</param>
/// <param name="ExposedMs">The part of them during which the step only waited.</param>
public readonly record struct CommunicationTime(long Bytes, double BusyMs, double ExposedMs)
{
    /// <summary>Fraction of the time that overlapped with the backward pass, from 0 to 1; 0 if nothing was sent.</summary>
    public double Overlap => BusyMs > 0 ? Math.Clamp(1 - ExposedMs / BusyMs, 0, 1) : 0;

    /// <summary>Adds the costs of consecutive sums.</summary>
    public static CommunicationTime operator +(CommunicationTime a, CommunicationTime b) =>
        new(a.Bytes + b.Bytes, a.BusyMs + b.BusyMs, a.ExposedMs + b.ExposedMs);
}
