namespace NormFree.Inference.Model;

/// <summary>A network as it is deployed, as a value: everything that a packed file holds, and all that the engine needs.</summary>
/// <remarks>
/// What training knows of norms, gains, α and β is folded into the layers' numbers. Layers run one after the other: a stem of real
/// convolutions and pools, binary layers, and one classifier.
/// </remarks>
public sealed record PackedModel
{
    /// <summary>The architecture's name, for example <c>reactnet-18</c>.</summary>
    public required string Architecture { get; init; }

    /// <summary>Rows of the images that it was trained for.</summary>
    public required int Height { get; init; }

    /// <summary>Columns of the images that it was trained for.</summary>
    public required int Width { get; init; }

    /// <summary>Mean of each colour channel, of values from 0 to 1: an image's value v enters as (v/255 − mean)/deviation.</summary>
    public required IReadOnlyList<float> Mean { get; init; }

    /// <summary>Deviation of each colour channel, of values from 0 to 1.</summary>
    public required IReadOnlyList<float> Deviation { get; init; }

    /// <summary>How its test images were brought to its size, step by step; none where they had it, so that others are resized to just cover it.</summary>
    public IReadOnlyList<ImageStep> Preparation { get; init; } = [];

    /// <summary>The classes' names, one a logit.</summary>
    public required IReadOnlyList<string> Classes { get; init; }

    /// <summary>The layers in the order in which they run.</summary>
    public required IReadOnlyList<PackedLayer> Layers { get; init; }

    /// <summary>Texts that travel with it, such as the network's spec and its training; the engine does not read them.</summary>
    public IReadOnlyDictionary<string, string> Notes { get; init; } = new Dictionary<string, string>();
}
