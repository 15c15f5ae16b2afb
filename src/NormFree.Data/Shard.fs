namespace NormFree.Data

/// <summary>The part of the data that one of several processes reads.</summary>
type Shard =
    {
        /// From 0.
        Rank: int
        Ranks: int
    }

    /// <summary>All of the data, for a single process.</summary>
    static member Whole = { Rank = 0; Ranks = 1 }

/// <summary>Partitions items over processes, and batches over micro-batches: contiguous, complete, disjoint and as even as possible.</summary>
[<RequireQualifiedAccess>]
module Shard =

    /// <summary>First item and length of a part, when `count` items are split into `parts`. Lengths differ by at most 1 and may be 0.</summary>
    let part count parts index =
        let first i = int (int64 count * int64 i / int64 parts)
        first index, first (index + 1) - first index

    /// <summary>The shard's part of these items.</summary>
    let take shard (items: 'a[]) =
        let first, count = part items.Length shard.Ranks shard.Rank
        Array.sub items first count
