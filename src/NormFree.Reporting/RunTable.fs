namespace NormFree.Reporting

open System
open System.Globalization
open NormFree.Runs

/// Tables of runs.
module internal RunTable =
    let missing = "–"

    let percent (fraction: float) = if Double.IsFinite fraction then $"{100.0 * fraction:f2} %%" else missing

    let number (format: string) (value: float) =
        if Double.IsFinite value then
            value.ToString(format, CultureInfo.InvariantCulture)
        else
            string value

    let duration (seconds: float) =
        if not (Double.IsFinite seconds) || seconds < 0.0 || seconds > 1e9 then
            missing
        elif seconds < 60.0 then
            $"{seconds:f1} s"
        else
            let time = TimeSpan.FromSeconds(round seconds)

            if time.TotalHours < 1.0 then
                $"{time.Minutes} min {time.Seconds:d2} s"
            else
                $"{int time.TotalHours} h {time.Minutes:d2} min"

    let private setting key (run: RunLog) = run.Configuration |> List.tryFind (fst >> (=) key) |> Option.map snd

    /// The number of classes, if it is at least 2.
    let classes (run: RunLog) =
        match setting "classes" run |> Option.map Int32.TryParse with
        | Some(true, classes) when classes >= 2 -> Some classes
        | _ -> None

    /// With fewer than 6 classes, top-5 is always right.
    let private hasTop5 (run: RunLog) = classes run |> Option.forall (fun classes -> classes >= 6)

    /// The images on which the best epoch was chosen.
    let private chosenOn (best: EpochRecord) = if best.HeldOut.IsSome then "held-out images" else "test images"

    /// The labels. Runs with the same label get their names appended.
    let labels (runs: RunLog list) =
        let counts = runs |> List.countBy _.Label |> Map.ofList

        runs
        |> List.map (fun run -> if counts[run.Label] > 1 then $"{run.Label} ({run.Name})" else run.Label)

    let private progress (epochs: EpochRecord list) =
        let last = List.last epochs

        if last.Epoch >= last.Epochs then
            string last.Epoch
        else
            $"{last.Epoch} of {last.Epochs}"

    let private state (run: RunLog) = if run.Finished then "finished" else "not finished"

    let private headlineRow
        withTop5
        (label: string)
        (run: RunLog)
        (stage: string, epochs: EpochRecord list, best: EpochRecord)
        =
        let last = List.last epochs
        let top5 (epoch: EpochRecord) = if hasTop5 run then percent epoch.Test.Top5 else missing

        [ label
          stage
          percent last.Test.Top1
          percent best.Test.Top1
          chosenOn best
          if withTop5 then
              top5 last
              top5 best
          epochs |> List.sumBy _.Seconds |> duration
          progress epochs
          state run ]

    let headline runs =
        let withTop5 = List.exists hasTop5 runs

        let rows label (run: RunLog) =
            match run.Stages with
            | [] -> [ label :: List.replicate (if withTop5 then 7 else 5) missing @ [ "0"; state run ] ]
            | stages -> stages |> List.map (headlineRow withTop5 label run)

        { Columns =
            [ "run"
              "stage"
              "top-1 last"
              "top-1 best"
              "best chosen on"
              if withTop5 then
                  "top-5 last"
                  "top-5 best"
              "training time"
              "epochs"
              "state" ]
          Rows = List.map2 rows (labels runs) runs |> List.concat }

    let private epochRow heldOut withTop5 (epoch: EpochRecord) =
        [ epoch.Stage
          string epoch.Epoch
          number "0.00e-0" epoch.LearningRate
          number "f4" epoch.Train.Loss
          percent epoch.Train.Top1
          number "f4" epoch.Test.Loss
          percent epoch.Test.Top1
          if withTop5 then
              percent epoch.Test.Top5
          if heldOut then
              epoch.HeldOut |> Option.map (_.Top1 >> percent) |> Option.defaultValue missing
          percent epoch.Clipped
          string epoch.Unreadable
          duration epoch.Seconds ]

    let epochs (run: RunLog) =
        let heldOut = run.Epochs |> List.exists _.HeldOut.IsSome

        { Columns =
            [ "stage"
              "epoch"
              "learning rate"
              "train loss"
              "train top-1"
              "test loss"
              "test top-1"
              if hasTop5 run then
                  "test top-5"
              if heldOut then
                  "held-out top-1"
              "clipped"
              "unreadable"
              "time" ]
          Rows = run.Epochs |> List.map (epochRow heldOut (hasTop5 run)) }

    let private value key run = setting key run |> Option.map Wording.ofSetting |> Option.defaultValue missing

    /// The prefix of a stage's settings, or an empty text.
    let private prefix (key: string) =
        match key.IndexOf ": " with
        | -1 -> ""
        | colon -> key.Substring(0, colon + 2)

    /// The runs to which a setting applies: those with the stage, if it is a stage's setting.
    let private concerned (key: string) (runs: RunLog list) =
        match prefix key with
        | "" -> runs
        | prefix ->
            runs
            |> List.filter (fun run ->
                run.Configuration |> List.exists (fun (key, _) -> key.StartsWith(prefix, StringComparison.Ordinal)))

    /// Two tables: the settings that all runs share, and the others with one column per run. A run without a stage does not differ in the stage's
    /// settings.
    let configuration choose (runs: RunLog list) =
        let keys = runs |> List.collect _.Configuration |> List.map fst |> List.distinct |> List.filter choose

        let common, differing =
            keys
            |> List.partition (fun key ->
                concerned key runs |> List.map (value key) |> List.distinct |> List.length = 1)

        let shown (key: string) =
            if RunGroup.isEnvironment key then
                key.Substring RunGroup.environmentPrefix.Length
            else
                key

        { Columns = [ "key"; "value" ]
          Rows = common |> List.map (fun key -> [ shown key; value key (concerned key runs).Head ]) },
        { Columns = "key" :: labels runs
          Rows = differing |> List.map (fun key -> shown key :: (runs |> List.map (value key))) }

    let private seedsRow (group: RunGroup) (epochs: EpochRecord list) =
        let top1 = epochs |> List.map _.Test.Top1
        let sample = Statistics.sample top1

        [ group.Label
          epochs.Head.Stage
          string sample.Count
          percent sample.Mean
          percent sample.Deviation
          percent sample.StandardError
          percent (List.min top1)
          percent (List.max top1) ]

    /// Top-1 after the last epoch, for groups of several seeds.
    let seeds (groups: RunGroup list) =
        { Columns =
            [ "runs"
              "stage"
              "seeds"
              "mean top-1"
              "standard deviation"
              "standard error"
              "lowest"
              "highest" ]
          Rows =
            [ for group in groups do
                  match RunGroup.final group with
                  | Ok epochs when epochs.Length > 1 -> seedsRow group epochs
                  | _ -> () ] }
