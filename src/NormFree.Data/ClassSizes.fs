namespace NormFree.Data

open NormFree.Formats

/// <summary>Whether the classes of a data set have enough training images.</summary>
[<RequireQualifiedAccess>]
module ClassSizes =

    /// <summary>The training images of each class, by label.</summary>
    let counts (dataset: Dataset) : int[] =
        let counts = Array.zeroCreate dataset.Classes.Length

        for i in 0 .. dataset.Train.Count - 1 do
            let label = dataset.Train.Label i
            counts[label] <- counts[label] + 1

        counts

    let private named (dataset: Dataset) isChosen =
        [| for name, count in Array.zip dataset.Classes (counts dataset) do
               if isChosen count then
                   $"{Printable.Text name} ({count})" |]

    let private list names = String.concat ", " (Printable.List names)

    /// <summary>The error for classes of which there is one image or none: they can be trained on or tested, not both.</summary>
    let problem (dataset: Dataset) : DataError option =
        match named dataset (fun count -> count < 2) with
        | [||] -> None
        | few ->
            Some(
                DataError.create
                    dataset.Name
                    $"a class needs at least two training images, and these have fewer: {list few}"
                    "Add images, or remove these class folders"
            )

    /// <summary>A warning that lists the classes with fewer training images than <c>least</c>.</summary>
    let warning least (dataset: Dataset) : string option =
        match named dataset (fun count -> count < least) with
        | [||] -> None
        | few ->
            Some
                $"classes with fewer than {least} training images are seldom recognised: {list few}. Add images of them."
