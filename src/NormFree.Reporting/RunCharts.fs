namespace NormFree.Reporting

open NormFree.Runs

/// Charts of logs.
module internal RunCharts =

    /// The stages of a run, each with the number of epochs before it.
    let starts (run: RunLog) =
        let lengths = run.Stages |> List.map (fun (_, epochs, _) -> epochs |> List.map _.Epoch |> List.max)

        List.zip
            (run.Stages |> List.map (fun (stage, _, _) -> stage))
            (List.scan (+) 0 lengths |> List.truncate lengths.Length)

    /// The epochs, numbered through all stages.
    let private numbered (run: RunLog) =
        let before = Map.ofList (starts run)
        run.Epochs |> List.map (fun epoch -> float (before[epoch.Stage] + epoch.Epoch), epoch)

    /// At most two names, and the number of the others.
    let private names (labels: string list) =
        match List.distinct labels with
        | [] -> ""
        | [ label ] -> label
        | [ first; second ] -> $"{first}, {second}"
        | first :: others -> $"{first} and {others.Length} others"

    /// The starts of stages. If runs start a stage after different numbers of epochs, its labels name the runs.
    let boundaries (groups: RunGroup list) : Boundary list =
        let all =
            [ for group in groups do
                  for run in group.Runs do
                      for stage, before in starts run -> stage, (before, group.Label) ]

        [ for stage, places in all |> List.groupBy fst do
              let places = places |> List.map snd |> List.groupBy fst

              for before, members in places do
                  { At = float before + 0.5
                    Label = if places.Length = 1 then stage else $"{stage}: {names (List.map snd members)}" } ]

    /// Samples of that many runs by epoch. Epochs that some of them lack are omitted: their mean would jump.
    let private samples runs (values: (float * float) list) =
        [ for x, values in values |> List.groupBy fst |> List.sortBy fst do
              if values.Length = runs then
                  x, values |> List.map snd |> Statistics.sample ]

    /// The mean over the runs, with a band of one standard deviation. The curve has a gap between stages, which train different networks.
    let private curve pick (group: RunGroup) : Curve =
        let gaps = boundaries [ group ] |> List.map _.At
        let begun = group.Runs |> List.filter (fun run -> not run.Epochs.IsEmpty)

        let points =
            begun
            |> List.collect (numbered >> List.map (fun (x, epoch) -> x, pick epoch))
            |> samples begun.Length

        { Name = group.Label
          Points = [ for x, sample in points -> x, sample.Mean ] @ [ for gap in gaps -> gap, nan ] |> List.sortBy fst
          Band =
            if begun.Length = 1 then
                []
            else
                [ for x, s in points -> x, s.Mean - s.Deviation, s.Mean + s.Deviation ]
                @ [ for gap in gaps -> gap, nan, nan ]
                |> List.sortBy (fun (x, _, _) -> x) }

    /// The accuracy of guessing, if all runs have the same number of classes.
    let private chance (groups: RunGroup list) : Boundary list =
        let classes = groups |> List.collect _.Runs |> List.map RunTable.classes |> List.distinct

        match classes with
        | [ Some classes ] ->
            let share = 1.0 / float classes
            [ { At = share; Label = "chance, " + RunTable.number "0.##" (100.0 * share) + " %" } ]
        | _ -> []

    let private chart title yLabel scale pick (groups: RunGroup list) : Chart =
        { Title = title
          XLabel = "epoch (stages consecutive)"
          X = Numeric
          YLabel = yLabel
          Y = scale
          Range = None
          Curves = groups |> List.map (curve pick)
          Boundaries = boundaries groups
          Levels = [] }

    let private bands (groups: RunGroup list) =
        if groups |> List.exists (fun group -> group.Runs.Length > 1) then
            " Lines are means over seeds; bands span one standard deviation to either side."
        else
            ""

    /// Top-1 on the test set.
    let accuracyChart groups = { chart "Test accuracy" "top-1" Percent _.Test.Top1 groups with Levels = chance groups }

    /// The accuracy of guessing, and whether the axis does not reach it.
    let private chanceSentence (chart: Chart) =
        match chart.Levels with
        | [ level ] ->
            let percent = RunTable.number "0.##" (100.0 * level.At)
            let place = if Plot.covers chart level.At then "" else ", below this axis"
            $" Guessing reaches {percent} %%{place}."
        | _ -> ""

    let accuracy (groups: RunGroup list) : Figure =
        let chart = accuracyChart groups

        { Name = "accuracy"
          Title = "Test accuracy"
          Caption = "Top-1 on the test set after each epoch." + chanceSentence chart + bands groups
          Charts = [ chart ] }

    /// Training loss, and the share of clipped units if there are any.
    let training (groups: RunGroup list) : Figure list =
        let epochs = groups |> List.collect _.Runs |> List.collect _.Epochs

        [ { Name = "loss"
            Title = "Training loss"
            Caption = "Mean loss over each epoch's training images, measured during training."
            Charts = [ chart "Training loss" "loss, nats" Plain _.Train.Loss groups ] }
          if epochs |> List.exists (fun epoch -> epoch.Clipped > 0.0) then
              { Name = "clipped"
                Title = "Clipped units"
                Caption = "Share of clipping units (filters or vectors) whose gradient was clipped in each epoch."
                Charts = [ chart "Clipped units" "share of units" Percent _.Clipped groups ] } ]
