namespace NormFree.Cli

/// <summary>When a training that failed is restarted, and with how many ranks.</summary>
[<RequireQualifiedAccess>]
module internal Supervision =

    /// What the options allow.
    type Limits =
        {
            Restarts: int
            /// The fewest ranks of a restart.
            MinRanks: int
        }

    /// An attempt that has ended.
    type Attempt =
        {
            Ranks: int
            /// The exit code of the job.
            Code: int
            /// Whether the run folder holds a run that can be resumed.
            HasRun: bool
            /// Identifies the newest checkpoint.
            Checkpoint: string
        }

    type Decision =
        /// Ends with the exit code of the job, after printing why there is no restart, if it needs a word.
        | End of reason: string option
        | Restart of ranks: int

    /// Exit codes after which a restart would do the same again, or is not wanted.
    let private isFinal code =
        List.contains (enum<Outcome> code) [ Outcome.Success; Outcome.BadUsage; Outcome.TimeLimit ]

    /// A rank that ends by itself prints a reason and returns this code. One that is killed, or crashes, returns another.
    let private hasOwnReason (attempt: Attempt) = attempt.Code = int Outcome.Failed

    /// What to do after an attempt. `earlier` are the attempts before it, newest first; `hosts` counts those that answer.
    let decide (limits: Limits) (earlier: Attempt list) (attempt: Attempt) (hosts: (unit -> int) option) : Decision =
        if isFinal attempt.Code || limits.Restarts = 0 then
            End None
        elif earlier.Length >= limits.Restarts then
            End(Some $"the training failed after {earlier.Length} of {limits.Restarts} restarts.")
        elif hasOwnReason attempt && not attempt.HasRun then
            End(Some "the training failed before it started, so it is not restarted.")
        elif
            hasOwnReason attempt
            && earlier
               |> List.tryHead
               |> Option.exists (fun before -> hasOwnReason before && before.Checkpoint = attempt.Checkpoint)
        then
            End(Some "the training failed twice after the same checkpoint, so it is not restarted again.")
        else
            let left = max (attempt.Ranks - 1) limits.MinRanks

            match hosts |> Option.map (fun count -> count ()) with
            | Some count when count < limits.MinRanks ->
                End(Some $"{count} hosts answer, and --min-ranks is {limits.MinRanks}: the training is not restarted.")
            | Some count -> Restart(min left count)
            | None -> Restart left

    /// How a job ended, in words.
    let describe code =
        if code > 128 && code < 160 then
            $"exit code {code}: signal {code - 128}"
        else
            $"exit code {code}"
