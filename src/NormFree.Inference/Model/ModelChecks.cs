using NormFree.Formats;

namespace NormFree.Inference.Model;

/// <summary>Validates models: every file that is read, and every model that is written or run.</summary>
/// <remarks>
/// Checks the images, the order of the layers, each layer by itself, that each layer accepts what the one before it produces, and
/// <see cref="PackedLimits"/>.
/// </remarks>
public static class ModelChecks
{
    /// <summary>Metadata keys that are part of the format and not notes.</summary>
    internal static readonly IReadOnlyList<string> ReservedKeys = ["format", "version", "model"];

    /// <summary>The first problem; null if the model is valid.</summary>
    /// <param name="model">Any model.</param>
    public static ModelProblem? Find(PackedModel model) =>
        Images(model).Concat(Order(model.Layers)).Concat(model.Layers.SelectMany(Layer)).Concat(Sizes(model)).Concat(Preprocessing(model))
            .FirstOrDefault();

    /// <summary>Why a valid model does not accept images of another size; null if it does.</summary>
    /// <param name="model">A valid model.</param>
    /// <param name="height">Height of the images, in pixels.</param>
    /// <param name="width">Width of the images, in pixels.</param>
    public static ModelProblem? FindFor(PackedModel model, int height, int width) =>
        Sizes(model with { Height = height, Width = width }).FirstOrDefault();

    /// <summary>Throws if the model is invalid.</summary>
    /// <param name="model">Any model.</param>
    /// <exception cref="ArgumentException">The model is invalid; the message names the place and the problem.</exception>
    public static void Require(PackedModel model)
    {
        if (Find(model) is { } problem)
            throw new ArgumentException($"{problem}.", nameof(model));
    }

    private static IEnumerable<ModelProblem> Images(PackedModel model)
    {
        if (model.Mean.Count < 1 || model.Mean.Count != model.Deviation.Count)
            yield return ModelProblem.Of($"it has {model.Mean.Count} means and {model.Deviation.Count} deviations; it needs one of each per colour channel");
        if (!model.Mean.All(float.IsFinite))
            yield return ModelProblem.Of("a mean is not finite");
        if (!model.Deviation.All(deviation => deviation > 0 && float.IsFinite(deviation)))
            yield return ModelProblem.Of("a deviation is not a finite number above 0");
        if (model.Notes.Keys.FirstOrDefault(ReservedKeys.Contains) is { } key)
            yield return ModelProblem.Of($"a note has the reserved key {Quoted.Name(key)}");
    }

    private static IEnumerable<ModelProblem> Order(IReadOnlyList<PackedLayer> layers)
    {
        if (layers.Count > PackedLimits.MaxLayers)
            yield return ModelProblem.Limit($"it has {layers.Count} layers; the limit is {PackedLimits.MaxLayers}");
        if (layers.Count == 0 || layers[^1] is not PackedClassifier)
            yield return ModelProblem.Of("its last layer is not a classifier");
        var keys = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < layers.Count; i++)
        {
            if (layers[i].Key.Length == 0)
                yield return new($"layer {i}", "its key is empty");
            if (layers[i] is PackedAdd add && !keys.Contains(add.From))
                yield return ModelProblem.Of(add, $"it adds the input of layer {Quoted.Name(add.From)}, but no layer before it has that key");
            if (!keys.Add(layers[i].Key))
                yield return ModelProblem.Of(layers[i], "another layer has the same key");
            if (layers[i] is PackedClassifier && i < layers.Count - 1)
                yield return ModelProblem.Of(layers[i], "a classifier must be the last layer");
        }
    }

    private static IEnumerable<ModelProblem> Layer(PackedLayer layer) =>
        LayerChecks.Problems(layer).Select(what => ModelProblem.Of(layer, what));

    /// <summary>Follows an image through the layers, each of which is valid by itself.</summary>
    private static IEnumerable<ModelProblem> Sizes(PackedModel model)
    {
        if (model.Height is < 1 or > PackedLimits.MaxSide || model.Width is < 1 or > PackedLimits.MaxSide)
        {
            yield return ModelProblem.Of($"its images have {model.Height}×{model.Width} pixels; both must be from 1 to {PackedLimits.MaxSide}");
            yield break;
        }
        var size = new MapSize(model.Height, model.Width, model.Mean.Count);
        var work = new ModelWork();
        var kept = new KeptInputs(model.Layers);
        foreach (var layer in model.Layers)
        {
            kept.Enter(layer, size);
            if ((kept.Problem(layer) ?? size.Problem(layer) ?? Sum(layer, size, kept)) is { } problem)
            {
                yield return problem;
                yield break;
            }
            var output = size.After(layer);
            work += ModelWork.Of(layer, size, output);
            if (layer is PackedAdd add)
            {
                work += ModelWork.Of(add.Pooled, kept.Source(add), output);
                kept.Release(add);
            }
            if (work.Problem is { } excess)
            {
                yield return ModelProblem.Limit(layer, excess);
                yield break;
            }
            size = output;
        }
        if (model.Classes.Count != size.Channels)
            yield return ModelProblem.Of($"it names {model.Classes.Count} classes but has {size.Channels} logits");
    }

    /// <summary>Checks a sum's shortcut, whose sizes depend on the layers before it.</summary>
    private static ModelProblem? Sum(PackedLayer layer, MapSize size, KeptInputs kept)
    {
        if (layer is not PackedAdd add)
            return null;
        var from = kept.Source(add);
        if (size.Problem(add, from) is { } problem)
            return problem;
        return add.Pooled?.Projection is { } projection && LayerChecks.Projection(from.Channels, size.Channels, projection).FirstOrDefault() is { } what
            ? ModelProblem.Of(layer, what)
            : null;
    }

    /// <summary>The last step must produce the network's size from any image.</summary>
    private static IEnumerable<ModelProblem> Preprocessing(PackedModel model)
    {
        var steps = model.Preprocessing;
        if (steps.Count > PackedLimits.MaxPreprocessingSteps)
            yield return ModelProblem.Limit($"it has {steps.Count} preprocessing steps; the limit is {PackedLimits.MaxPreprocessingSteps}");
        foreach (var step in steps)
        {
            if (!Enum.IsDefined(step.Kind))
                yield return ModelProblem.Of($"unknown preprocessing step {step.Kind}");
            if (step.Height is < 1 or > PackedLimits.MaxSide || step.Width is < 1 or > PackedLimits.MaxSide)
                yield return ModelProblem.Of($"a preprocessing step has the size {step.Height}×{step.Width}; both must be from 1 to {PackedLimits.MaxSide}");
        }
        if (steps.Sum(step => (long)step.Height * step.Width) is var pixels && pixels > PackedLimits.MaxPreprocessingPixels)
            yield return ModelProblem.Limit($"its preprocessing steps produce {pixels} pixels; the limit is {PackedLimits.MaxPreprocessingPixels}");
        if (steps.Count > 0 && steps[^1] is var last && (last.Kind == PreprocessingKind.Cover || (last.Height, last.Width) != (model.Height, model.Width)))
            yield return ModelProblem.Of($"its preprocessing does not end with a resize or a crop to {model.Height}×{model.Width} pixels");
    }
}

/// <summary>Why a model is invalid.</summary>
/// <param name="Where">The place: a layer or the model.</param>
/// <param name="What">The problem, without a full stop.</param>
public sealed record ModelProblem(string Where, string What)
{
    /// <summary>What to do about it, without a full stop; null for a file that must be exported again.</summary>
    public string? Remedy { get; private init; }

    /// <inheritdoc/>
    public override string ToString() => $"{Where}: {What}";

    internal static ModelProblem Of(string what) => new("model", what);

    internal static ModelProblem Of(PackedLayer layer, string what) => new($"layer {Quoted.Name(layer.Key)}", what);

    internal static ModelProblem Limit(string what) => Of(what) with { Remedy = PackedLimits.Remedy };

    internal static ModelProblem Limit(PackedLayer layer, string what) => Of(layer, what) with { Remedy = PackedLimits.Remedy };
}
