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

    /// Names of other tools, such as PyTorch's example scripts and timm, and the names here.
    let private otherTools =
        dict
            [ "--learning-rate", "--lr"
              "--batch-size", "--batch"
              "--wd", "--weight-decay"
              "--model", "--arch"
              "--architecture", "--arch"
              "--opt", "--optimizer"
              "--sched", "--schedule"
              "--lr-schedule", "--schedule"
              "--warmup-epochs", "--warm-up"
              "--output", "--out"
              "--output-dir", "--out"
              "--data-dir", "--data"
              "--data-path", "--data"
              "--img-size", "--size"
              "--image-size", "--size"
              "--num-classes", "--classes"
              "--num-workers", "--workers"
              "--num-threads", "--threads"
              "--pretrained", "--init"
              "--clip-grad", "--clip"
              "--stage", "--binarise"
              "--stages", "--binarise"
              "--gpu", "--device"
              "--momentum", "--optimizer"
              "--label-smoothing", "--loss"
              "--mixup", "--augment"
              "--cutmix", "--augment"
              "cross-entropy", "ce"
              "label-smoothing", "ls"
              "distillation", "kd" ]

    /// Whether a text is the beginning of a candidate with at most one mistake in three characters.
    let private beginsLike (candidate: string) (text: string) =
        text.Trim('-').Length >= 3
        && [ text.Length; text.Length + 1 ]
           |> List.exists (fun length ->
               length <= candidate.Length
               && 3 * distance text (candidate.Substring(0, length).ToLowerInvariant()) <= text.Trim('-').Length)

    /// Whether a text is a candidate with a further word, such as --network-file.
    let private continues (candidate: string) (text: string) =
        candidate.Trim('-').Length >= 3
        && text.StartsWith(candidate + "-", StringComparison.OrdinalIgnoreCase)

    /// <summary>The nearest known name, if it differs in at most a third of its characters, continues the given name or is continued by it, or is its
    /// name here where other tools have the given one.</summary>
    let nearest (known: string list) (name: string) : string option =
        let lower = name.ToLowerInvariant().Replace('_', '-')

        let isNear (candidate: string, distance) =
            3 * distance <= max candidate.Length 3
            || lower.Trim('-').Length >= 2 && candidate.StartsWith(lower, StringComparison.OrdinalIgnoreCase)
            || beginsLike candidate lower
            || continues candidate lower

        let hasOtherStart (candidate: string) = not (candidate.StartsWith(lower.Substring(0, min 1 lower.Length)))

        if name.Length > maxLength then
            None
        elif otherTools.ContainsKey(lower.Split(':')[0]) && List.contains otherTools[lower.Split(':')[0]] known then
            Some otherTools[lower.Split(':')[0]]
        else
            known
            |> List.map (fun candidate -> candidate, distance lower (candidate.ToLowerInvariant()))
            |> List.filter isNear
            |> List.sortBy (fun (candidate, distance) -> distance, hasOtherStart candidate)
            |> List.tryHead
            |> Option.map fst

    /// <summary><c> Did you mean 'NAME'?</c>, with the blank before it, or an empty text.</summary>
    let didYouMean known name =
        match nearest known name with
        | Some candidate -> $" Did you mean '{candidate}'?"
        | None -> ""
