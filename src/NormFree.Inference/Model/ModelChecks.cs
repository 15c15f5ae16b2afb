using NormFree.Formats;

namespace NormFree.Inference.Model;

/// <summary>Whether a model is one that can run: asked of every file that is read, and of every model that is written or run.</summary>
/// <remarks>
/// The order of the layers, what each layer holds, and that each takes what the one before it gives. Nothing is assumed of the model but that it
/// and its parts are there.
/// </remarks>
public static class ModelChecks
{
    /// <summary>Keys of the file's metadata that are no notes.</summary>
    internal static readonly IReadOnlyList<string> Reserved = ["format", "version", "model"];

    /// <summary>The first thing that is wrong; null where nothing is.</summary>
    /// <param name="model">Any model.</param>
    public static ModelProblem? Find(PackedModel model) =>
        OfImages(model).Concat(OfOrder(model.Layers)).Concat(model.Layers.SelectMany(Of)).Concat(OfSizes(model)).Concat(OfPreparation(model))
            .FirstOrDefault();

    /// <summary>Why the model cannot take images of another size; null where it can. The model must be right otherwise.</summary>
    /// <param name="model">A model in which nothing else is wrong.</param>
    /// <param name="height">Rows of the images.</param>
    /// <param name="width">Columns of the images.</param>
    public static ModelProblem? FindFor(PackedModel model, int height, int width) =>
        OfSizes(model with { Height = height, Width = width }).FirstOrDefault();

    /// <summary>Does nothing where the model is right.</summary>
    /// <param name="model">Any model.</param>
    /// <exception cref="ArgumentException">Something is wrong; the message says where and what.</exception>
    public static void Require(PackedModel model)
    {
        if (Find(model) is { } problem)
            throw new ArgumentException($"{problem}.", nameof(model));
    }

    /// <summary>How errors call a layer.</summary>
    internal static string NameOf(PackedLayer layer) => $"layer {Quoted.Name(layer.Key)}";

    private static IEnumerable<ModelProblem> OfImages(PackedModel model)
    {
        if (model.Mean.Count < 1 || model.Mean.Count != model.Deviation.Count)
            yield return new("model", $"it has {model.Mean.Count} means and {model.Deviation.Count} deviations: there must be one of each a colour channel");
        if (!model.Mean.All(float.IsFinite))
            yield return new("model", "a mean is not finite");
        if (!model.Deviation.All(deviation => deviation > 0 && float.IsFinite(deviation)))
            yield return new("model", "a deviation is not a finite number above 0");
        if (model.Notes.Keys.FirstOrDefault(Reserved.Contains) is { } key)
            yield return new("model", $"a note is named {Quoted.Name(key)}, which the file needs itself");
    }

    /// <summary>Whatever image goes in, what comes out has the network's size.</summary>
    private static IEnumerable<ModelProblem> OfPreparation(PackedModel model)
    {
        foreach (var step in model.Preparation)
        {
            if (!Enum.IsDefined(step.Kind))
                yield return new("model", $"its preparation has no step {step.Kind}");
            if (step.Height is < 1 or > LayerChecks.LargestSide || step.Width is < 1 or > LayerChecks.LargestSide)
                yield return new(
                    "model", $"a step of its preparation is about {step.Height}×{step.Width} pixels: both must be from 1 to {LayerChecks.LargestSide}");
        }
        if (model.Preparation.Count > 0 && model.Preparation[^1] is var last
            && (last.Kind == ImageStepKind.Cover || (last.Height, last.Width) != (model.Height, model.Width)))
            yield return new("model", $"its preparation does not end with a resize or a crop to its size, {model.Height}×{model.Width}");
    }

    private static IEnumerable<ModelProblem> OfOrder(IReadOnlyList<PackedLayer> layers)
    {
        if (layers.Count == 0 || layers[^1] is not Classifier)
            yield return new("model", "its last layer is no classifier");
        var keys = new HashSet<string>(StringComparer.Ordinal);
        bool binary = false;
        for (int i = 0; i < layers.Count; i++)
        {
            if (layers[i].Key.Length == 0)
                yield return new($"layer {i}", "its key is empty");
            if (!keys.Add(layers[i].Key))
                yield return new(NameOf(layers[i]), "two layers have this key");
            if (layers[i] is Classifier && i < layers.Count - 1)
                yield return new(NameOf(layers[i]), "a classifier is not the last layer");
            if (layers[i] is RealConvolution or MaxPool && binary)
                yield return new(NameOf(layers[i]), "it follows a binary layer: only a stem has layers of its kind");
            binary |= layers[i] is BinaryLayer;
        }
    }

    private static IEnumerable<ModelProblem> Of(PackedLayer layer) =>
        LayerChecks.Problems(layer).Select(what => new ModelProblem(NameOf(layer), what));

    /// <summary>Follows an image through layers that are right by themselves.</summary>
    private static IEnumerable<ModelProblem> OfSizes(PackedModel model)
    {
        if (model.Height is < 1 or > LayerChecks.LargestSide || model.Width is < 1 or > LayerChecks.LargestSide)
        {
            yield return new("model", $"its images have {model.Height}×{model.Width} pixels: both must be from 1 to {LayerChecks.LargestSide}");
            yield break;
        }
        var size = new MapSize(model.Height, model.Width, model.Mean.Count);
        foreach (var layer in model.Layers)
        {
            if (size.Problem(layer) is { } what)
            {
                yield return new(NameOf(layer), what);
                yield break;
            }
            size = size.After(layer);
        }
        if (model.Classes.Count != size.Channels)
            yield return new("model", $"it names {model.Classes.Count} classes and has {size.Channels} logits");
    }
}
