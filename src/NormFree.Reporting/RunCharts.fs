namespace NormFree.Reporting

open NormFree.Runs


/// Logs as charts.
module internal RunCharts =

    /// The stages of a run, each with how many epochs are before it.
    let starts (run: RunLog) =
        let lengths = run.Stages |> List.map (fun (_, epochs, _) -> epochs |> List.map _.Epoch |> List.max)

        List.zip
            (run.Stages |> List.map (fun (stage, _, _) -> stage))
            (List.scan (+) 0 lengths |> List.truncate lengths.Length)

    /// The epoch's number counted through all stages, with the epoch.
    let private running (run: RunLog) =
        let before = Map.ofList (starts run)
        run.Epochs |> List.map (fun epoch -> float (before[epoch.Stage] + epoch.Epoch), epoch)

    /// Where stages begin, but for the first.
    let boundaries (runs: RunLog list) =
        [ for run in runs do
              for stage, before in starts run do
                  if before > 0 then
                      { At = float before + 0.5; Label = stage } ]
        |> List.distinct

    /// One run is a line; several are their mean, with a standard deviation to both sides.
    /// A mean of fewer than all would jump where one run ends.
    let private summed runs (values: (float * float) list) =
        [ for x, values in values |> List.groupBy fst |> List.sortBy fst do
              if values.Length = runs then
                  x, values |> List.map snd |> Statistics.sample ]

    /// A curve has a gap where a stage ends: the next one begins with another network.
    let private curve pick (group: RunGroup) : Curve =
        let gaps = boundaries group.Runs |> List.map _.At

        let points =
            group.Runs
            |> List.collect (running >> List.map (fun (x, epoch) -> x, pick epoch))
            |> summed group.Runs.Length

        { Name = group.Label
          Points = [ for x, sample in points -> x, sample.Mean ] @ [ for gap in gaps -> gap, nan ] |> List.sortBy fst
          Band =
            if group.Runs.Length = 1 then
                []
            else
                [ for x, s in points -> x, s.Mean - s.Deviation, s.Mean + s.Deviation ]
                @ [ for gap in gaps -> gap, nan, nan ]
                |> List.sortBy (fun (x, _, _) -> x) }

    let private chart title yLabel scale pick (groups: RunGroup list) : Chart =
        { Title = title
          XLabel = "epoch, counted through the stages"
          X = Numbers
          YLabel = yLabel
          Y = scale
          Range = None
          Curves = groups |> List.map (curve pick)
          Boundaries = groups |> List.collect _.Runs |> boundaries }

    let private bands (groups: RunGroup list) =
        if groups |> List.exists (fun group -> group.Runs.Length > 1) then
            " A line is the mean over seeds, the band around it one standard deviation to both sides."
        else
            ""

    /// Top-1 on the test set, as a chart.
    let accuracyChart groups = chart "Test accuracy" "top-1" Percent _.Test.Top1 groups

    /// The same as a figure.
    let accuracy (groups: RunGroup list) : Figure =
        { Name = "accuracy"
          Title = "Test accuracy"
          Caption = "The share of test images recognised, after each epoch." + bands groups
          Charts = [ accuracyChart groups ] }

    /// What the training itself says: its loss, and what was clipped where anything was.
    let training (groups: RunGroup list) : Figure list =
        let epochs = groups |> List.collect _.Runs |> List.collect _.Epochs

        [ { Name = "loss"
            Title = "Training loss"
            Caption = "The mean loss over each epoch's training images, as they were seen."
            Charts = [ chart "Training loss" "loss, nats" Plain _.Train.Loss groups ] }
          if epochs |> List.exists (fun epoch -> epoch.Clipped > 0.0) then
              { Name = "clipped"
                Title = "Clipped units"
                Caption = "The share of clipping units (filters, vectors) whose gradient was clipped in each epoch."
                Charts = [ chart "Clipped units" "share of units" Percent _.Clipped groups ] } ]
