namespace NormFree.Reporting

open System
open NormFree.Training

/// <summary>Two runs held against each other. <c>BnFree</c> and <c>NoNorm</c> are shares from 0 to 1 after the last epoch.</summary>
type Comparison =
    {
        BnFree: float
        NoNorm: float
        Images: int
        /// Of the difference, as a share: the binomial sampling error of both accuracies on the test images.
        StandardError: float
    }

/// <summary>What the runs say about the paper's claim that a network free of batch normalisation does better than one that
/// merely has none.</summary>
type Verdict =
    | ClearlyAbove of Comparison
    | NotClearlyAbove of Comparison
    /// There are such runs, and they do not allow the comparison yet, for the reason given.
    | Undecided of reason: string

/// <summary>Whether bn-free is clearly above the network without normalisation.</summary>
module Verdict =
    /// More than this many percentage points, and
    let minimumPoints = 5.0

    /// more than this many standard errors.
    let minimumErrors = 3.0

    let private points (comparison: Comparison) = 100.0 * (comparison.BnFree - comparison.NoNorm)

    /// The runs whose label has the word, for example `bn-free` or `bn-free, seed 2`.
    let private labelled (word: string) (runs: RunLog list) =
        let words (run: RunLog) =
            run.Label.Split([| ' '; ','; ';'; '('; ')'; '/'; ':' |], StringSplitOptions.RemoveEmptyEntries)

        runs
        |> List.filter (fun run ->
            words run |> Array.exists (fun w -> w.Equals(word, StringComparison.OrdinalIgnoreCase)))

    /// The last epoch of a finished run; otherwise why it cannot be compared.
    let private final (run: RunLog) =
        match List.tryLast run.Epochs with
        | None -> Error $"{run.Label} has no epoch yet"
        | Some _ when not run.Finished -> Error $"{run.Label} is not finished"
        | Some epoch when not (epoch.Test.Top1 >= 0.0 && epoch.Test.Top1 <= 1.0) || epoch.Test.Images <= 0 ->
            Error $"{run.Label} was not tested after its last epoch"
        | Some epoch -> Ok epoch

    let private compare (bnFree: EpochRecord) (noNorm: EpochRecord) =
        let variance (accuracy: Accuracy) = accuracy.Top1 * (1.0 - accuracy.Top1) / float accuracy.Images

        let comparison =
            { BnFree = bnFree.Test.Top1
              NoNorm = noNorm.Test.Top1
              Images = min bnFree.Test.Images noNorm.Test.Images
              StandardError = sqrt (variance bnFree.Test + variance noNorm.Test) }

        let difference = comparison.BnFree - comparison.NoNorm

        if points comparison > minimumPoints && difference > minimumErrors * comparison.StandardError then
            ClearlyAbove comparison
        else
            NotClearlyAbove comparison

    /// <summary>Compares the run labelled <c>bn-free</c> with the one labelled <c>none</c>; None where there are no such two.</summary>
    let ofRuns runs =
        match labelled "bn-free" runs, labelled "none" runs with
        | [], _
        | _, [] -> None
        | [ bnFree ], [ noNorm ] ->
            match final bnFree, final noNorm with
            | Error reason, _
            | _, Error reason -> Some(Undecided reason)
            | Ok a, Ok b when a.Stage <> b.Stage ->
                Some(Undecided $"they end in different stages, {a.Stage} and {b.Stage}")
            | Ok a, Ok b -> Some(compare a b)
        | several, others ->
            Some(
                Undecided
                    $"there are {several.Length} runs of bn-free and {others.Length} of none, and a comparison takes one of each"
            )

    let private numbers (comparison: Comparison) =
        let difference = points comparison

        $"{100.0 * comparison.BnFree:f2} %% against {100.0 * comparison.NoNorm:f2} %% top-1 after the last epoch on "
        + $"{comparison.Images} test images, {abs difference:f2} points "
        + (if difference < 0.0 then "less" else "more")
        + $" (standard error of the difference: {100.0 * comparison.StandardError:f2} points)"

    /// <summary>The verdict as a sentence or two.</summary>
    let sentence verdict =
        match verdict with
        | ClearlyAbove comparison -> $"bn-free is clearly above its twin without normalisation: {numbers comparison}."
        | NotClearlyAbove comparison ->
            $"bn-free is NOT clearly above its twin without normalisation: {numbers comparison}. "
            + $"It would be with more than {minimumPoints:f0} points and more than {minimumErrors:f0} standard errors."
        | Undecided reason -> $"bn-free is NOT shown to be clearly above its twin without normalisation: {reason}."
