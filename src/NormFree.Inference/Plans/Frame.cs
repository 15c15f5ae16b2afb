namespace NormFree.Inference.Plans;

/// <summary>The memory of an image that runs.</summary>
/// <param name="arena">What lies between its layers.</param>
/// <param name="image">The image, planar.</param>
/// <param name="logits">The result.</param>
internal readonly unsafe struct Frame(byte* arena, float* image, float* logits)
{
    public readonly byte* Arena = arena;
    public readonly float* Image = image;
    public readonly float* Logits = logits;
}
