namespace NormFree.Inference.Model;

/// <summary>A network as it is deployed, as a value: everything that a packed file holds and the engine needs.</summary>
/// <remarks>
/// Norms, gains, α and β of training are folded into the layers' numbers. Layers run one after the other, in any order of kinds; the last one, and only
/// that, is a classifier.
/// </remarks>
public sealed record PackedModel
{
    /// <summary>The architecture's name, for example <c>reactnet-18</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>Height of the images it was trained for, in pixels.</summary>
    public required int Height { get; init; }

    /// <summary>Width of the images it was trained for, in pixels.</summary>
    public required int Width { get; init; }

    /// <summary>Mean of each colour channel for values in [0, 1]: a byte v enters the network as (v/255 − mean)/deviation.</summary>
    public required IReadOnlyList<float> Mean { get; init; }

    /// <summary>Standard deviation of each colour channel for values in [0, 1].</summary>
    public required IReadOnlyList<float> Deviation { get; init; }

    /// <summary>
    /// How an image becomes <see cref="Height"/> × <see cref="Width"/> pixels. Empty if the test images already had that size; other images are then
    /// resized to cover it and cropped to its centre.
    /// </summary>
    public IReadOnlyList<PreprocessingStep> Preprocessing { get; init; } = [];

    /// <summary>Class names, one per logit.</summary>
    public required IReadOnlyList<string> Classes { get; init; }

    /// <summary>The layers in execution order.</summary>
    public required IReadOnlyList<PackedLayer> Layers { get; init; }

    /// <summary>Further metadata, such as the network's spec. The engine does not read it.</summary>
    public IReadOnlyDictionary<string, string> Notes { get; init; } = new Dictionary<string, string>();
}

/// <summary>One preprocessing step of an image.</summary>
/// <param name="Kind">The operation.</param>
/// <param name="Height">Target height in pixels.</param>
/// <param name="Width">Target width in pixels.</param>
public sealed record PreprocessingStep(PreprocessingKind Kind, int Height, int Width);

/// <summary>The operation of a <see cref="PreprocessingStep"/>.</summary>
public enum PreprocessingKind
{
    /// <summary>Resizes to the smallest size that covers the target and keeps the aspect ratio.</summary>
    Cover,

    /// <summary>Resizes to exactly the target size.</summary>
    Resize,

    /// <summary>Crops the centre; smaller images are padded with black.</summary>
    CentreCrop,
}
