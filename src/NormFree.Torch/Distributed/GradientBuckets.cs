using System.Diagnostics;
using NormFree.Distributed;
using static TorchSharp.torch;

namespace NormFree.Torch.Distributed;

/// <summary>Adds up gradients over ranks in a few large messages, which begin while the backward pass is still under way.</summary>
/// <remarks>
/// Buckets are filled in the reverse order of the parameters' use, as the backward pass is. A bucket begins to travel when a fused layer's pass begins
/// that lies before all its parameters; what no fused layer tells about, the composite engine's gradients among them, travels behind the pass. Where a
/// process works alone there are no buckets, and gradients stay where autograd puts them.
/// </remarks>
/// <example><code>
/// buckets.Prepare();
/// FusedBackward.Begin(buckets.LayerBegins);
/// loss.backward();
/// FusedBackward.End();
/// buckets.Start();
/// var time = buckets.Finish();
/// </code></example>
public sealed class GradientBuckets : IDisposable
{
    /// <summary>A bucket is full from here on: large enough that latency does not count, small enough that the first begins early.</summary>
    public const long UsualBytes = 8 << 20;

    private readonly IRanks ranks;
    private readonly IReadOnlyList<Tensor> parameters;
    private readonly Dictionary<Tensor, int> parts = new(ReferenceEqualityComparer.Instance);
    private readonly List<GradientBucket> buckets = [];

    /// <summary>Divides parameters into buckets.</summary>
    /// <param name="ranks">Who adds up.</param>
    /// <param name="parameters">In the order of use, of one type, on the CPU.</param>
    /// <param name="parts">For each of them the number of the part of the network that it belongs to; parts are computed one after the other.</param>
    /// <param name="bytes">Size from which on a bucket is full.</param>
    public GradientBuckets(IRanks ranks, IReadOnlyList<Tensor> parameters, IReadOnlyList<int> parts, long bytes = UsualBytes)
    {
        (this.ranks, this.parameters) = (ranks, parameters);
        for (var i = 0; i < parameters.Count; i++) this.parts.Add(parameters[i], parts[i]);
        if (ranks.Size > 1) Fill(parts, bytes);
    }

    /// <summary>How many messages a step sends.</summary>
    public int Count => buckets.Count;

    /// <summary>Sets all gradients to nothing, or to zeros that are added to.</summary>
    public void Prepare()
    {
        if (buckets.Count == 0)
            foreach (var parameter in parameters) parameter.grad = null;
        foreach (var bucket in buckets) bucket.Prepare();
    }

    /// <summary>For <see cref="Fused.FusedBackward.Begin"/>: begins what lies behind the layer whose backward pass begins.</summary>
    /// <param name="inputs">The layer's.</param>
    public void LayerBegins(IReadOnlyList<Tensor> inputs)
    {
        foreach (var input in inputs)
            if (parts.TryGetValue(input, out var part))
            {
                StartBehind(part);
                return;
            }
    }

    /// <summary>Begins what has not begun: the gradients of the last backward pass are there.</summary>
    public void Start() => StartBehind(-1);

    /// <summary>Waits for all sums, which are the gradients then.</summary>
    public CommunicationTime Finish()
    {
        var begin = Stopwatch.GetTimestamp();
        foreach (var bucket in buckets) bucket.Finish();
        return new CommunicationTime(
            buckets.Sum(bucket => bucket.Bytes), Busy(), buckets.Count == 0 ? 0 : Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var bucket in buckets) bucket.Dispose();
    }

    /// <summary>Divides parameters into messages, in the order in which they are sent.</summary>
    /// <param name="sizes">Bytes of each parameter, in the order of use.</param>
    /// <param name="parts">The part of the network that each belongs to.</param>
    /// <param name="bytes">Size from which on a message is full.</param>
    /// <returns>For each message its first parameter, how many there are, and the lowest part among them.</returns>
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

    private void Fill(IReadOnlyList<int> places, long bytes)
    {
        long[] sizes = [.. parameters.Select(parameter => parameter.numel() * parameter.element_size())];
        foreach (var (first, count, part) in Plan(sizes, places, bytes))
            buckets.Add(new GradientBucket([.. parameters.Skip(first).Take(count)], part));
    }

    private void StartBehind(int part)
    {
        foreach (var bucket in buckets.TakeWhile(bucket => bucket.LowestPart > part)) bucket.Start(ranks);
    }

    /// <summary>The time that at least one was under way; buckets began in their order.</summary>
    private double Busy()
    {
        var (ticks, until) = (0L, long.MinValue);
        foreach (var bucket in buckets)
        {
            var (begin, end) = bucket.Span;
            ticks += Math.Max(0, end - Math.Max(begin, until));
            until = Math.Max(until, end);
        }
        return ticks * 1000.0 / Stopwatch.Frequency;
    }
}

/// <summary>What sums of one step took.</summary>
/// <param name="Bytes">How much each rank gave.</param>
/// <param name="BusyMs">Milliseconds in which at least one sum was under way; waiting for slower ranks is part of it.</param>
/// <param name="ExposedMs">Those of them in which the step did nothing but wait.</param>
public readonly record struct CommunicationTime(long Bytes, double BusyMs, double ExposedMs)
{
    /// <summary>Share of the time that was hidden behind the backward pass, from 0 to 1; 0 where nothing was sent.</summary>
    public double Overlap => BusyMs > 0 ? Math.Clamp(1 - ExposedMs / BusyMs, 0, 1) : 0;

    /// <summary>Of sums that follow one another.</summary>
    public static CommunicationTime operator +(CommunicationTime a, CommunicationTime b) =>
        new(a.Bytes + b.Bytes, a.BusyMs + b.BusyMs, a.ExposedMs + b.ExposedMs);
}
