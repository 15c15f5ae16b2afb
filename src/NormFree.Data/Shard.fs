namespace NormFree.Data

/// <summary>The part of everything that one of several processes reads.</summary>
type Shard =
    {
        /// From 0.
        Rank: int
        Ranks: int
    }

    /// <summary>Of a process that works alone.</summary>
    static member Whole = { Rank = 0; Ranks = 1 }

/// <summary>Divides things among processes, and batches into smaller ones: side by side, without overlap or loss, as evenly as can be.</summary>
[<RequireQualifiedAccess>]
module Shard =

    /// <summary>Where one of `parts` parts of `count` things begins, and how many it holds; they differ by 1 at most, and may be 0.</summary>
    let part count parts index =
        let first i = int (int64 count * int64 i / int64 parts)
        first index, first (index + 1) - first index

    /// <summary>The share's part of these things.</summary>
    let take share (things: 'a[]) =
        let first, count = part things.Length share.Ranks share.Rank
        Array.sub things first count
