namespace NormFree.Reporting

open System
open NormFree.Runs

/// <summary>What a network free of batch normalisation is held against: the same one with another norm.</summary>
type Twin =
    | WithoutNorm
    | WithBatchNorm

/// <summary>What tells a difference from chance.</summary>
type Evidence =
    /// One run of each: three standard errors of the difference to both sides, from the binomial sampling of so many test images. It knows nothing
    /// of the spread over seeds.
    | OneRunEach of images: int * standardError: float
    /// Several seeds of each: Welch's interval of 95 %.
    | OverSeeds

/// <summary>Two networks held against each other by their top-1 after the last epoch, as shares from 0 to 1.</summary>
type Comparison =
    {
        Twin: Twin
        BnFree: Sample
        Other: Sample
        Evidence: Evidence
        /// Of bn-free's mean less the other's.
        Interval: Interval
    }

    member c.Difference = c.BnFree.Mean - c.Other.Mean

/// <summary>What the runs say of bn-free and a twin of it.</summary>
type Verdict =
    | Above of Comparison
    | Below of Comparison
    | NotToldApart of Comparison
    /// There are such runs, and they do not allow the comparison yet, for the reason given.
    | Undecided of Twin * reason: string

/// <summary>Whether bn-free is above its twins.</summary>
/// <remarks>Without normalisation it must be clearly above (the paper's claim): by more than 5 points, and beyond chance. With batch norm, beyond
/// chance is enough.</remarks>
module Verdict =
    /// Clearly above is more than this many percentage points.
    let minimumPoints = 5.0

    let private errors = 3.0

    let private word twin =
        match twin with
        | WithoutNorm -> "none"
        | WithBatchNorm -> "batch-norm"

    /// The groups whose configuration, or else whose label, has the norm, for example `bn-free` or `bn-free on CIFAR-10`.
    let private normed (norm: string) (groups: RunGroup list) =
        let isNorm (text: string) = text.Equals(norm, StringComparison.OrdinalIgnoreCase)

        let words (label: string) =
            label.Split([| ' '; ','; ';'; '('; ')'; '/'; ':' |], StringSplitOptions.RemoveEmptyEntries)

        groups
        |> List.filter (fun group ->
            match group.Runs.Head.Configuration |> List.tryFind (fst >> (=) "norm") with
            | Some(_, found) -> isNorm found
            | None -> words group.Label |> Array.exists isNorm)

    let private judge (comparison: Comparison) =
        let points = 100.0 * comparison.Difference

        if comparison.Interval.High < 0.0 then
            Below comparison
        elif comparison.Interval.Low > 0.0 && (comparison.Twin = WithBatchNorm || points > minimumPoints) then
            Above comparison
        else
            NotToldApart comparison

    let private oneRunEach twin (bnFree: EpochRecord) (other: EpochRecord) =
        let variance (accuracy: Accuracy) = accuracy.Top1 * (1.0 - accuracy.Top1) / float accuracy.Images
        let error = sqrt (variance bnFree.Test + variance other.Test)
        let difference = bnFree.Test.Top1 - other.Test.Top1

        { Twin = twin
          BnFree = Statistics.sample [ bnFree.Test.Top1 ]
          Other = Statistics.sample [ other.Test.Top1 ]
          Evidence = OneRunEach(min bnFree.Test.Images other.Test.Images, error)
          Interval = { Low = difference - errors * error; High = difference + errors * error } }

    let private overSeeds twin (bnFree: EpochRecord list) (other: EpochRecord list) =
        let sample = List.map (fun (epoch: EpochRecord) -> epoch.Test.Top1) >> Statistics.sample
        let bnFree, other = sample bnFree, sample other

        { Twin = twin
          BnFree = bnFree
          Other = other
          Evidence = OverSeeds
          Interval = Statistics.welch bnFree other }

    let private compare twin (bnFree: EpochRecord list) (other: EpochRecord list) =
        match bnFree, other with
        | a :: _, b :: _ when a.Stage <> b.Stage ->
            Undecided(twin, $"they end in different stages, {a.Stage} and {b.Stage}")
        | [ a ], [ b ] -> judge (oneRunEach twin a b)
        | [ _ ], several
        | several, [ _ ] -> Undecided(twin, $"there is one seed of the one and there are {several.Length} of the other")
        | _ -> judge (overSeeds twin bnFree other)

    let private against groups twin =
        match normed "bn-free" groups, normed (word twin) groups with
        | [], _
        | _, [] -> None
        | [ bnFree ], [ other ] ->
            match RunGroup.final bnFree, RunGroup.final other with
            | Error reason, _
            | _, Error reason -> Some(Undecided(twin, reason))
            | Ok a, Ok b -> Some(compare twin a b)
        | several, others ->
            Some(
                Undecided(
                    twin,
                    $"there are {several.Length} configurations of bn-free and {others.Length} of {word twin}, and a comparison takes one of each"
                )
            )

    /// <summary>Compares bn-free with its twin without normalisation and with its batch-norm twin; nothing of twins that are not there.</summary>
    let ofRuns (runs: RunLog list) : Verdict list =
        let groups = RunGroup.ofRuns runs
        [ WithoutNorm; WithBatchNorm ] |> List.choose (against groups)

    let private percent (share: float) = $"{100.0 * share:f2} %%"
    let private points (share: float) = $"{100.0 * share:f2}".Replace('-', '−')

    let private numbers (comparison: Comparison) =
        let difference = comparison.Difference

        let against =
            $"{percent comparison.BnFree.Mean} against {percent comparison.Other.Mean} top-1 after the last epoch"

        let more = if difference < 0.0 then "less" else "more"

        match comparison.Evidence with
        | OneRunEach(images, error) ->
            $"{against} on {images} test images, {points (abs difference)} points {more} \
              (standard error of the difference: {points error} points)"
        | OverSeeds ->
            $"{against}, means over {comparison.BnFree.Count} and {comparison.Other.Count} seeds with standard deviations of \
              {points comparison.BnFree.Deviation} and {points comparison.Other.Deviation} points, {points (abs difference)} points {more} \
              (Welch's interval of 95 %% for the difference: {points comparison.Interval.Low} to {points comparison.Interval.High} points)"

    let private name twin =
        match twin with
        | WithoutNorm -> "its twin without normalisation"
        | WithBatchNorm -> "its batch-norm twin"

    let private wanted (comparison: Comparison) =
        match comparison.Evidence with
        | OneRunEach _ ->
            $"It would be with more than {minimumPoints:f0} points and more than {errors:f0} standard errors."
        | OverSeeds ->
            $"It would be with more than {minimumPoints:f0} points and an interval above 0; more seeds narrow it."

    /// One run of each cannot tell the norm from the seed.
    let private caveat (comparison: Comparison) =
        match comparison.Evidence with
        | OneRunEach _ -> " One run of each says nothing of the spread over seeds."
        | OverSeeds -> ""

    /// <summary>The verdict as a sentence or two.</summary>
    let sentence verdict =
        match verdict with
        | Above({ Twin = WithoutNorm } as comparison) ->
            $"bn-free is clearly above {name WithoutNorm}: {numbers comparison}."
        | Below({ Twin = WithoutNorm } as comparison)
        | NotToldApart({ Twin = WithoutNorm } as comparison) ->
            $"bn-free is NOT clearly above {name WithoutNorm}: {numbers comparison}. {wanted comparison}"
        | Above comparison -> $"bn-free is above {name WithBatchNorm}: {numbers comparison}.{caveat comparison}"
        | Below comparison -> $"bn-free is below {name WithBatchNorm}: {numbers comparison}.{caveat comparison}"
        | NotToldApart comparison ->
            $"bn-free and {name WithBatchNorm} cannot be told apart: {numbers comparison}.{caveat comparison}"
        | Undecided(WithoutNorm, reason) -> $"bn-free is NOT shown to be clearly above {name WithoutNorm}: {reason}."
        | Undecided(WithBatchNorm, reason) -> $"bn-free cannot be compared with {name WithBatchNorm} yet: {reason}."
