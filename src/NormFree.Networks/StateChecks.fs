/// <summary>Checks the training state of a checkpoint, which a file may give any values.</summary>
module internal NormFree.Networks.StateChecks

/// Longer than any training: 3000 years.
[<Literal>]
let private MaxSeconds = 1e11

/// <summary>What is wrong with a state; nothing if it is valid. Whether it fits the images is checked on resume.</summary>
let problems (state: TrainingState) : string list =
    let cursor = state.TrainingCursor
    let epochs = state.Recipe.Epochs

    let counts =
        [ "steps", int64 cursor.Step
          "finished places", int64 cursor.Progress.Places
          "unreadable images", int64 cursor.Progress.Unreadable
          "images seen", int64 cursor.Sums.Seen
          "images recognised", cursor.Sums.First
          "images recognised among five", cursor.Sums.AmongFive
          "skipped batches", int64 cursor.Health.Skipped
          "skipped batches in a row", int64 cursor.SkippedInARow
          "rollbacks", int64 cursor.Health.RolledBack ]

    [ if cursor.Epoch < 0 || cursor.Epoch > epochs then
          $"it has finished {cursor.Epoch} epochs of {epochs}"
      for what, value in counts do
          if value < 0L then
              $"its number of {what} is {value}"
      if not (cursor.Seconds >= 0.0 && cursor.Seconds <= MaxSeconds) then
          $"its epoch has taken {cursor.Seconds} seconds" ]
