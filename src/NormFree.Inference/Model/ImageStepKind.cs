namespace NormFree.Inference.Model;

/// <summary>What a step of a network's preparation does to an image.</summary>
public enum ImageStepKind
{
    /// <summary>Resizes it, its proportions kept, so that it just covers a rectangle of this size.</summary>
    Cover,

    /// <summary>Resizes it to this size, whatever its proportions.</summary>
    Resize,

    /// <summary>Takes the middle of this size; an image that is smaller is padded with black.</summary>
    CentreCrop,
}
