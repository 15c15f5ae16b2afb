using System.Diagnostics;

namespace NormFree.Torch.Profiling;

/// <summary>Measures the time of each layer. It is off, and nearly free, unless a benchmark starts it.</summary>
/// <remarks>One clock per process, because autograd calls backward passes without arguments of ours. Thread-safe.</remarks>
/// <example><code>
/// using (LayerClock.Measure("layer1.0.binary_conv", Phase.Forward)) result = Convolve(x);
/// </code></example>
public static class LayerClock
{
    private static readonly Lock Gate = new();
    private static readonly OrderedDictionary<string, LayerTime> Times = [];
    private static volatile bool running;

    /// <summary>Measures until the result is disposed. Measurements of one layer and phase add up. Measurements of different layers must not nest.</summary>
    /// <param name="layer">The layer's name, as in <c>Lowering.parts</c>.</param>
    /// <param name="phase">The phase that the time is added to.</param>
    public static Measurement Measure(string layer, Phase phase) => running ? new Measurement(layer, phase) : default;

    /// <summary>Discards earlier measurements and starts measuring.</summary>
    public static void Start()
    {
        Take();
        running = true;
    }

    /// <summary>Stops measuring.</summary>
    public static void Stop() => running = false;

    /// <summary>Returns the times since the last call, in order of first measurement, and resets them.</summary>
    public static IReadOnlyList<LayerTime> Take()
    {
        lock (Gate)
        {
            LayerTime[] taken = [.. Times.Values];
            Times.Clear();
            return taken;
        }
    }

    private static void Add(string layer, Phase phase, double milliseconds)
    {
        lock (Gate)
        {
            var before = Times.TryGetValue(layer, out var time) ? time : new LayerTime(layer, null, null);
            Times[layer] = before.Plus(phase, milliseconds);
        }
    }

    /// <summary>A running measurement; disposing it ends it.</summary>
    public readonly struct Measurement : IDisposable
    {
        private readonly string? layer;
        private readonly Phase phase;
        private readonly long start;

        internal Measurement(string layer, Phase phase) =>
            (this.layer, this.phase, start) = (layer, phase, Stopwatch.GetTimestamp());

        /// <summary>Adds the elapsed time to the layer's total.</summary>
        public void Dispose()
        {
            if (layer is not null) Add(layer, phase, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }
    }
}

/// <summary>Wall time of one layer in milliseconds; null if nothing was measured.</summary>
/// <param name="Layer">The layer's name.</param>
/// <param name="Forward">Total of its forward passes.</param>
/// <param name="Backward">Total of its backward passes.</param>
public sealed record LayerTime(string Layer, double? Forward, double? Backward)
{
    /// <summary>Adds time to one phase.</summary>
    internal LayerTime Plus(Phase phase, double milliseconds) => phase == Phase.Forward
        ? this with { Forward = (Forward ?? 0) + milliseconds }
        : this with { Backward = (Backward ?? 0) + milliseconds };
}

/// <summary>The pass that a time belongs to.</summary>
public enum Phase
{
    /// <summary>The forward pass.</summary>
    Forward,

    /// <summary>The backward pass.</summary>
    Backward,
}
