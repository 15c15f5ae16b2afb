namespace NormFree.Runs

open System

/// <summary>The known name that a mistyped name most likely meant.</summary>
[<RequireQualifiedAccess>]
module Suggestion =

    /// <summary>The least number of inserted, deleted, replaced and swapped characters that turns one text into the other.</summary>
    /// <remarks>The restricted Damerau–Levenshtein distance (optimal string alignment).</remarks>
    let distance (a: string) (b: string) : int =
        let costs = Array2D.zeroCreate (a.Length + 1) (b.Length + 1)

        for i in 0 .. a.Length do
            costs[i, 0] <- i

        for j in 0 .. b.Length do
            costs[0, j] <- j

        for i in 1 .. a.Length do
            for j in 1 .. b.Length do
                let replaced = costs[i - 1, j - 1] + (if a[i - 1] = b[j - 1] then 0 else 1)
                costs[i, j] <- min replaced (1 + min costs[i - 1, j] costs[i, j - 1])

                if i > 1 && j > 1 && a[i - 1] = b[j - 2] && a[i - 2] = b[j - 1] then
                    costs[i, j] <- min costs[i, j] (costs[i - 2, j - 2] + 1)

        costs[a.Length, b.Length]

    /// Longer names are not compared: the table of costs grows with the square of their length.
    let private maxLength = 64

    /// <summary>The nearest known name, if it differs in at most a third of its characters or continues the given name.</summary>
    let nearest (known: string list) (name: string) : string option =
        let lower = name.ToLowerInvariant()

        let isNear (candidate: string, distance) =
            3 * distance <= max candidate.Length 3
            || lower.Trim('-').Length >= 2 && candidate.StartsWith(lower, StringComparison.OrdinalIgnoreCase)

        if name.Length > maxLength then
            None
        else
            known
            |> List.map (fun candidate -> candidate, distance lower (candidate.ToLowerInvariant()))
            |> List.filter isNear
            |> List.sortBy snd
            |> List.tryHead
            |> Option.map fst

    /// <summary><c> Did you mean 'NAME'?</c>, with the blank before it, or an empty text.</summary>
    let didYouMean known name =
        match nearest known name with
        | Some candidate -> $" Did you mean '{candidate}'?"
        | None -> ""
