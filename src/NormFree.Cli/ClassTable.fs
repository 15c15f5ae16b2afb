namespace NormFree.Cli

open NormFree.Runs

/// <summary>The accuracy of each class and the most frequent confusions, as text.</summary>
[<RequireQualifiedAccess>]
module internal ClassTable =

    /// More classes are only counted.
    let private maxClasses = 20

    let private maxPairs = 5

    let private accuracy (result: ClassResult) = float result.Right / float (max 1 result.Images)

    let private confusion (classes: ClassResult[]) (pair: ConfusedPair) =
        let truth = classes[pair.Truth]
        $"{truth.Name} as {classes[pair.Guess].Name} ({pair.Count} of {truth.Images})"

    /// <summary>Prints the classes, lowest accuracy first, and the most frequent confusions. <c>pairs</c> has the most frequent ones first.</summary>
    let print (classes: ClassResult list) (pairs: ConfusedPair list) =
        let tested = classes |> List.filter (fun result -> result.Images > 0) |> List.sortBy accuracy

        if not tested.IsEmpty then
            Show.table
                [ "class"; "images"; "correct"; "top-1" ]
                [ for result in List.truncate maxClasses tested ->
                      [ result.Name; string result.Images; string result.Right; Show.percent (accuracy result) ] ]

            if tested.Length > maxClasses then
                Output.prose
                    $"{tested.Length - maxClasses} more classes have {Show.percent (accuracy tested[maxClasses])} or more."

        if not pairs.IsEmpty then
            let worst = pairs |> List.truncate maxPairs |> List.map (confusion (List.toArray classes))
            let list = String.concat ", " worst
            Output.prose $"Most frequent confusions: {list}."
