using System.Diagnostics;
using NormFree.Formats;
using NormFree.Inference.Files;
using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Inference.Threads;
using NormFree.Kernels.Simd;

namespace NormFree.Inference;

/// <summary>A packed network that is ready to run: images in, logits out.</summary>
/// <remarks>
/// <para>It is immutable after loading: any number of threads may call it at once, and each gets the same bits as a single caller. The network's threads
/// serve one caller at a time; other callers compute on their own thread meanwhile.</para>
/// <para>The first run with an image size plans its memory. Plans of the last four sizes are kept, with one arena for each concurrent image, so that further
/// runs allocate nothing. Dispose the network to end its threads and free its memory at once; otherwise its finaliser does.</para>
/// </remarks>
/// <example><code>
/// using var network = PackedNetwork.Load("reactnet18.safetensors");
/// var logits = new float[network.Classes];
/// network.Run(image, logits); // image: 3×H×W, normalised
/// </code></example>
public sealed unsafe class PackedNetwork : IDisposable
{
    private readonly PackedModel model;
    private readonly PreparedLayer[] layers;
    private readonly PlanCache plans;
    private readonly int threads;
    private readonly SharedRun? shared;
    private readonly WorkerTeam? team;
    private readonly Usage usage = new();

    private PackedNetwork(PackedModel model, PackedOptions options)
    {
        this.model = model;
        layers = PreparedLayer.AllOf(model, options.InstructionSet);
        threads = options.Threads;
        plans = new PlanCache(model, layers, threads);
        if (threads == 1) return;
        shared = new SharedRun(threads);
        team = new WorkerTeam(threads, shared.Run);
    }

    /// <summary>Ends the threads of a network that was not disposed. A run keeps its network alive, so that none is in progress.</summary>
    ~PackedNetwork() => team?.Stop();

    /// <summary>Loads a packed file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">How to run; null for the defaults.</param>
    /// <exception cref="InvalidFileException">The file is not a packed network, is damaged, has a newer version or exceeds <see cref="PackedLimits"/>.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The number of threads is not from 1 to <see cref="PackedOptions.MaxThreads"/>.</exception>
    /// <exception cref="PlatformNotSupportedException">The processor does not support the instruction set.</exception>
    public static PackedNetwork Load(string path, PackedOptions? options = null) => From(PackedFile.Read(path), options);

    /// <summary>Prepares a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">How to run; null for the defaults.</param>
    /// <exception cref="ArgumentException">The model is invalid; the message names the place and the problem.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The number of threads is not from 1 to <see cref="PackedOptions.MaxThreads"/>.</exception>
    /// <exception cref="PlatformNotSupportedException">The processor does not support the instruction set.</exception>
    public static PackedNetwork From(PackedModel model, PackedOptions? options = null)
    {
        options ??= new PackedOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Threads, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Threads, PackedOptions.MaxThreads);
        ModelChecks.Require(model);
        return new PackedNetwork(model, options);
    }

    /// <summary>The model.</summary>
    public PackedModel Model => model;

    /// <summary>Logits per image.</summary>
    public int Classes => model.Classes.Count;

    /// <summary>Class names, one per logit.</summary>
    public IReadOnlyList<string> ClassNames => model.Classes;

    /// <summary>Height of the images it was trained for, in pixels.</summary>
    public int Height => model.Height;

    /// <summary>Width of the images it was trained for, in pixels.</summary>
    public int Width => model.Width;

    /// <summary>Runs images of the size that the network was trained for.</summary>
    /// <param name="images">One or more normalised images of 3×H×W values, consecutively.</param>
    /// <param name="logits">Images × <see cref="Classes"/>.</param>
    /// <param name="cancellation">Ends the run within a task, well under a second.</param>
    /// <inheritdoc cref="Run(ReadOnlySpan{float}, int, int, Span{float}, CancellationToken)" path="/exception"/>
    public void Run(ReadOnlySpan<float> images, Span<float> logits, CancellationToken cancellation = default) =>
        Run(images, Height, Width, logits, cancellation);

    /// <summary>Runs images of any size that the layers accept.</summary>
    /// <param name="images">One or more normalised images of 3×H×W values, consecutively.</param>
    /// <param name="height">Height of an image, in pixels.</param>
    /// <param name="width">Width of an image, in pixels.</param>
    /// <param name="logits">Images × <see cref="Classes"/>.</param>
    /// <param name="cancellation">Ends the run within a task, well under a second.</param>
    /// <exception cref="ArgumentException">
    /// The values are not a whole number of images, the number of logits does not match, the network does not accept images of this size, or such images
    /// exceed <see cref="PackedLimits"/>.
    /// </exception>
    /// <exception cref="OperationCanceledException">The run was cancelled; the logits are undefined.</exception>
    /// <exception cref="OutOfMemoryException">There is not enough memory for the feature maps.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void Run(ReadOnlySpan<float> images, int height, int width, Span<float> logits, CancellationToken cancellation = default)
    {
        usage.Enter(this);
        try
        {
            var plan = plans.For(height, width);
            var count = Count(images.Length, plan.Input.Size, logits.Length);
            fixed (float* first = images, target = logits) Run(new ImageBatch(plan, count, first, Classes, target, cancellation));
        }
        finally
        {
            usage.Leave();
            GC.KeepAlive(this);
        }
    }

    /// <summary>Runs one layer on a map of its own, for comparisons. It uses the calling thread and plans its memory anew at each call.</summary>
    /// <param name="layer">Index in <see cref="PackedModel.Layers"/>.</param>
    /// <param name="x">Input of one image: H×W×C.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="y">Output: H'×W'×O, or the logits.</param>
    /// <param name="signs">Signs of a binary layer's input: H×W×⌈C/64⌉ words, 1 is +; empty for other layers.</param>
    /// <exception cref="ArgumentException">A length is wrong, the layer does not accept maps of this size, or it is a <see cref="PackedAdd"/>.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void RunLayer(int layer, ReadOnlySpan<float> x, int height, int width, Span<float> y, Span<ulong> signs)
    {
        RequireLayer(layer);
        usage.Enter(this);
        try
        {
            new LayerRun(layers[layer], height, width).Run(x, y, signs);
        }
        finally
        {
            usage.Leave();
            GC.KeepAlive(this);
        }
    }

    /// <summary>Runs one <see cref="PackedAdd"/> on maps of its own, for comparisons.</summary>
    /// <remarks>It uses the calling thread and plans its memory anew at each call.</remarks>
    /// <param name="layer">Index in <see cref="PackedModel.Layers"/>.</param>
    /// <param name="x">Input of one image: H×W×C.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="shortcut">Input of the layer <see cref="PackedAdd.From"/>, before it is pooled: H'×W'×C'.</param>
    /// <param name="shortcutHeight">H'.</param>
    /// <param name="shortcutWidth">W'.</param>
    /// <param name="y">Output: H×W×C.</param>
    /// <exception cref="ArgumentException">A length is wrong, the maps cannot be added, or the layer is not a <see cref="PackedAdd"/>.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void RunLayer(
        int layer, ReadOnlySpan<float> x, int height, int width, ReadOnlySpan<float> shortcut, int shortcutHeight, int shortcutWidth, Span<float> y)
    {
        RequireLayer(layer);
        usage.Enter(this);
        try
        {
            new LayerRun(layers[layer], height, width).RunSum(x, shortcut, shortcutHeight, shortcutWidth, y);
        }
        finally
        {
            usage.Leave();
            GC.KeepAlive(this);
        }
    }

    /// <summary>Ends the threads and frees the memory. Waits for runs in progress; later runs fail.</summary>
    public void Dispose()
    {
        if (!usage.End()) return;
        team?.Dispose();
        plans.Dispose();
        foreach (var layer in layers) layer.Dispose();
        GC.SuppressFinalize(this);
    }

    private void RequireLayer(int layer)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, layers.Length);
    }

    private int Count(int values, MapSize size, int logits)
    {
        var perImage = (long)size.Channels * size.Height * size.Width;
        if (values == 0 || values % perImage != 0)
            throw new ArgumentException($"{values} values are not a whole number of images of {size}, which have {perImage} values each.", "images");
        var count = (int)(values / perImage);
        if (logits != (long)count * Classes)
            throw new ArgumentException($"There is room for {logits} logits; {count} images have {count} × {Classes}.", nameof(logits));
        return count;
    }

    private void Run(in ImageBatch batch)
    {
        if (team is null || !team.TryClaim())
        {
            RunAlone(batch);
            return;
        }
        try
        {
            if (batch.Count < threads) RunFew(batch, batch.Plan.Choice);
            else RunShared(batch);
        }
        finally
        {
            team.Release();
        }
    }

    private void RunFew(in ImageBatch batch, TeamChoice choice)
    {
        var start = Stopwatch.GetTimestamp();
        if (choice.IsShared) RunShared(batch);
        else RunAlone(batch);
        choice.Record((double)(Stopwatch.GetTimestamp() - start) / batch.Count);
    }

    private void RunShared(in ImageBatch batch)
    {
        try
        {
            shared!.Begin(batch);
            team!.Run();
        }
        finally
        {
            shared!.End();
        }
    }

    private static void RunAlone(in ImageBatch batch)
    {
        var arena = batch.Plan.Rent();
        try
        {
            for (var image = 0; image < batch.Count; image++) batch.Run(image, arena);
        }
        finally
        {
            batch.Plan.Return(arena);
        }
    }
}
