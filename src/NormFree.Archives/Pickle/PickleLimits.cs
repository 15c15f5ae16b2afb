namespace NormFree.Archives.Pickle;

/// <summary>How large a pickle may be. A reader's memory is bounded by these and by a small multiple of the file's length.</summary>
/// <param name="MaxDepth">How deep values may be nested in each other, so that code that walks them may recurse.</param>
/// <param name="MaxMemo">How many values may be remembered for reuse at a time.</param>
/// <param name="MaxBytes">The longest file.</param>
public sealed record PickleLimits(int MaxDepth, int MaxMemo, int MaxBytes)
{
    /// <summary>100 deep, two million remembered values, 1 GiB: room for every published data set and checkpoint.</summary>
    public static PickleLimits Default { get; } = new(MaxDepth: 100, MaxMemo: 2_000_000, MaxBytes: 1 << 30);
}
