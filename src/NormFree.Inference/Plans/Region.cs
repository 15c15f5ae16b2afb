namespace NormFree.Inference.Plans;

/// <summary>A piece of an arena.</summary>
/// <param name="Start">Its first byte.</param>
/// <param name="Bytes">Its length.</param>
internal readonly record struct Region(long Start, long Bytes)
{
    public long End => Start + Bytes;
}
