using System.Diagnostics;

namespace NormFree.Torch.Profiling;

/// <summary>Measures layers at work; off unless a benchmark starts it, and then all but free.</summary>
/// <remarks>One clock for the process: backward passes run wherever autograd calls them, out of reach of any argument. Thread-safe.</remarks>
/// <example><code>
/// using (LayerClock.Measure("layer1.0.binary_conv", Phase.Forward)) result = Convolve(x);
/// </code></example>
public static class LayerClock
{
    private static readonly Lock Gate = new();
    private static readonly OrderedDictionary<string, LayerTime> Times = [];
    private static volatile bool running;

    /// <summary>Measures until the result is disposed. Measurements of one layer and phase add up; those of different layers must not nest.</summary>
    /// <param name="layer">The layer's name, as <c>Lowering.parts</c> has it.</param>
    /// <param name="phase">Which of its sums the time belongs to.</param>
    public static Measurement Measure(string layer, Phase phase) => running ? new Measurement(layer, phase) : default;

    /// <summary>Forgets what was measured before, and measures from now on.</summary>
    public static void Start()
    {
        Take();
        running = true;
    }

    /// <summary>Measures no more.</summary>
    public static void Stop() => running = false;

    /// <summary>What was measured since the last call, in the order in which layers came first; measuring starts anew.</summary>
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

    /// <summary>A measurement under way; ends when it is disposed.</summary>
    public readonly struct Measurement : IDisposable
    {
        private readonly string? layer;
        private readonly Phase phase;
        private readonly long start;

        internal Measurement(string layer, Phase phase) =>
            (this.layer, this.phase, start) = (layer, phase, Stopwatch.GetTimestamp());

        /// <summary>Adds the time since the start to the layer's.</summary>
        public void Dispose()
        {
            if (layer is not null) Add(layer, phase, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }
    }
}

/// <summary>Wall time of one layer, in milliseconds; null where nothing was measured.</summary>
/// <param name="Layer">The layer's name.</param>
/// <param name="Forward">Sum of its forward passes.</param>
/// <param name="Backward">Sum of its backward passes.</param>
public sealed record LayerTime(string Layer, double? Forward, double? Backward)
{
    /// <summary>With more time in one phase.</summary>
    internal LayerTime Plus(Phase phase, double milliseconds) => phase == Phase.Forward
        ? this with { Forward = (Forward ?? 0) + milliseconds }
        : this with { Backward = (Backward ?? 0) + milliseconds };
}

/// <summary>In which direction a layer is at work.</summary>
public enum Phase
{
    /// <summary>From its input to its output.</summary>
    Forward,

    /// <summary>From its output's gradient to those of its input and parameters.</summary>
    Backward,
}
