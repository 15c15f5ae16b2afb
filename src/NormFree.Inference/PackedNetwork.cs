using NormFree.Formats;
using NormFree.Inference.Files;
using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Inference.Plans;
using NormFree.Inference.Threads;

namespace NormFree.Inference;

/// <summary>A packed network, ready to run: images in, logits out.</summary>
/// <remarks>
/// <para>It is never written to after loading: any number of threads may call it at once, and each gets the same bits as if it were alone. The network's
/// threads serve one caller at a time; others compute on their own thread meanwhile.</para>
/// <para>Memory is planned at the first run with a size of images, for up to four sizes, and once more for each caller that comes while others run; it
/// stays, and further runs allocate nothing. Dispose of the network: its threads end with it.</para>
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
    private readonly SharedRun? shared;
    private readonly WorkerTeam? team;
    private readonly Usage usage = new();

    private PackedNetwork(PackedModel model, PackedOptions options)
    {
        this.model = model;
        layers = [.. model.Layers.Select(layer => PreparedLayer.From(layer, options.InstructionSet))];
        plans = new PlanCache(model, layers, options.Threads);
        if (options.Threads == 1) return;
        shared = new SharedRun(options.Threads);
        team = new WorkerTeam(options.Threads, shared);
    }

    /// <summary>Reads a packed file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">How to run; null for all processors and the fastest instruction set.</param>
    /// <exception cref="InvalidFileException">It is no packed network, a damaged one, or one of a newer version.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The options ask for less than one thread, or for more than <see cref="PackedOptions.MostThreads"/>.</exception>
    /// <exception cref="PlatformNotSupportedException">This processor lacks the options' instruction set.</exception>
    public static PackedNetwork Load(string path, PackedOptions? options = null) => From(PackedFile.Read(path), options);

    /// <summary>Prepares a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">How to run; null for all processors and the fastest instruction set.</param>
    /// <exception cref="ArgumentException">Something is wrong with the model; the message says where and what.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The options ask for less than one thread, or for more than <see cref="PackedOptions.MostThreads"/>.</exception>
    /// <exception cref="PlatformNotSupportedException">This processor lacks the options' instruction set.</exception>
    public static PackedNetwork From(PackedModel model, PackedOptions? options = null)
    {
        options ??= new PackedOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Threads, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Threads, PackedOptions.MostThreads);
        ModelChecks.Require(model);
        return new PackedNetwork(model, options);
    }

    /// <summary>What it computes.</summary>
    public PackedModel Model => model;

    /// <summary>Logits of an image.</summary>
    public int Classes => model.Classes.Count;

    /// <summary>The classes' names, one a logit.</summary>
    public IReadOnlyList<string> ClassNames => model.Classes;

    /// <summary>Rows of the images that it was trained for.</summary>
    public int Height => model.Height;

    /// <summary>Columns of the images that it was trained for.</summary>
    public int Width => model.Width;

    /// <summary>Runs images of the size that it was trained for.</summary>
    /// <param name="images">One image or several, one after the other, each 3×H×W, normalised.</param>
    /// <param name="logits">Images × <see cref="Classes"/>.</param>
    /// <inheritdoc cref="Run(ReadOnlySpan{float}, int, int, Span{float})"/>
    public void Run(ReadOnlySpan<float> images, Span<float> logits) => Run(images, Height, Width, logits);

    /// <summary>Runs images of any size that the layers can take.</summary>
    /// <param name="images">One image or several, one after the other, each 3×H×W, normalised.</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Columns of an image.</param>
    /// <param name="logits">Images × <see cref="Classes"/>.</param>
    /// <exception cref="ArgumentException">
    /// The images are no whole number of such images, the logits are not as many as belong to them, or the network cannot take images of this size.
    /// </exception>
    /// <exception cref="OutOfMemoryException">There is no memory for the maps between the layers.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void Run(ReadOnlySpan<float> images, int height, int width, Span<float> logits)
    {
        usage.Enter(this);
        try
        {
            var plan = plans.For(height, width);
            var count = Count(images.Length, plan.Input.Size, logits.Length);
            fixed (float* first = images, target = logits) Run(new ImageBatch(plan, count, first, Classes, target));
        }
        finally
        {
            usage.Leave();
        }
    }

    /// <summary>Runs one layer on a map of its own: for comparisons. It works on the calling thread, and plans anew at each call.</summary>
    /// <param name="layer">The layer's number in <see cref="PackedModel.Layers"/>.</param>
    /// <param name="x">The layer's input, one image: H×W×C.</param>
    /// <param name="height">H.</param>
    /// <param name="width">W.</param>
    /// <param name="y">The layer's result: H'×W'×O, or the logits.</param>
    /// <param name="signs">Signs of a binary layer's input, H×W×⌈C/64⌉ words, 1 is +; empty for other layers.</param>
    /// <exception cref="ArgumentException">A length is wrong, or the layer cannot take maps of this size.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void RunLayer(int layer, ReadOnlySpan<float> x, int height, int width, Span<float> y, Span<ulong> signs)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(layer);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(layer, layers.Length);
        usage.Enter(this);
        try
        {
            new LayerRun(layers[layer], height, width).Run(x, y, signs);
        }
        finally
        {
            usage.Leave();
        }
    }

    /// <summary>Frees memory and threads. It waits for runs that go on; later ones fail.</summary>
    public void Dispose()
    {
        if (!usage.End()) return;
        team?.Dispose();
        plans.Dispose();
        foreach (var layer in layers) layer.Dispose();
    }

    private int Count(int values, MapSize size, int logits)
    {
        var perImage = (long)size.Channels * size.Height * size.Width;
        if (values == 0 || values % perImage != 0)
            throw new ArgumentException($"{values} values are no whole number of images of {size}, which have {perImage} values each.", "images");
        var count = (int)(values / perImage);
        if (logits != (long)count * Classes)
            throw new ArgumentException($"There is room for {logits} logits; {count} images have {count} × {Classes}.", nameof(logits));
        return count;
    }

    private void Run(in ImageBatch batch)
    {
        if (team is not null && team.TryClaim()) RunShared(batch);
        else RunAlone(batch);
    }

    private void RunShared(in ImageBatch batch)
    {
        try
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
        finally
        {
            team!.Release();
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
