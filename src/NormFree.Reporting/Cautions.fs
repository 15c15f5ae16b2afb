namespace NormFree.Reporting

open NormFree.Runs

/// Reasons to mistrust a comparison of runs.
module internal Cautions =

    let private names labels = labels |> List.distinct |> String.concat ", "

    let private setting key (run: RunLog) = run.Configuration |> List.tryFind (fst >> (=) key) |> Option.map snd

    /// What a run was tested on: data set, input size, and number of images.
    let private testSet (run: RunLog) =
        let images = run.Epochs |> List.tryLast |> Option.map (fun epoch -> string epoch.Test.Images)

        let parts =
            [ setting "data set" run
              setting "image size" run
              images |> Option.map (fun n -> n + " test images") ]

        parts |> List.choose id |> String.concat ", "

    let private differentTestSets (groups: RunGroup list) =
        let sets =
            [ for group in groups do
                  for run in group.Runs do
                      if not run.Epochs.IsEmpty then
                          testSet run, group.Label ]
            |> List.groupBy fst

        match sets with
        | []
        | [ _ ] -> None
        | sets ->
            let described =
                [ for set, members in sets -> $"{names (List.map snd members)}: {set}" ] |> String.concat "; "

            Some $"The runs used different test sets, so their accuracies are not comparable ({described})."

    let private chosenOnTestSet (groups: RunGroup list) =
        let isChosen (run: RunLog) = not run.Epochs.IsEmpty && run.Epochs |> List.forall _.HeldOut.IsNone

        match groups |> List.filter (fun group -> List.exists isChosen group.Runs) |> List.map _.Label with
        | [] -> None
        | labels ->
            Some
                $"The best epoch was chosen on the test set, which makes its accuracy optimistic ({names labels}). Compare the last epochs, or hold out \
                  part of the training set."

    let private oneSeed (groups: RunGroup list) =
        match groups |> List.filter (fun group -> group.Runs.Length = 1) |> List.map _.Label with
        | [] -> None
        | _ when groups.Length < 2 -> None
        | labels -> Some $"One seed cannot show whether a difference is chance. Train more seeds of {names labels}."

    /// The cautions that apply to these runs.
    let ofGroups (groups: RunGroup list) : string list =
        [ differentTestSets groups; oneSeed groups; chosenOnTestSet groups ] |> List.choose id
