namespace NormFree.Inference.Plans;

/// <summary>The memory of an image that runs.</summary>
/// <param name="maps">Maps between its layers.</param>
/// <param name="signs">Signs of maps.</param>
/// <param name="image">The image, planar.</param>
/// <param name="logits">The result.</param>
internal readonly unsafe struct Frame(byte* maps, byte* signs, float* image, float* logits)
{
    public readonly byte* Maps = maps;
    public readonly byte* Signs = signs;
    public readonly float* Image = image;
    public readonly float* Logits = logits;
}
