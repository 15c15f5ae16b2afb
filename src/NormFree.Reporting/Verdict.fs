namespace NormFree.Reporting

open System
open NormFree.Runs

/// <summary>The network that a BN-free one is compared with: the same one with another norm.</summary>
type Twin =
    | WithoutNorm
    | WithBatchNorm

/// <summary>The statistical basis of a comparison.</summary>
type Evidence =
    /// One run each: the interval is ±3 binomial standard errors of the difference, from the number of test images. It ignores the spread over
    /// seeds.
    | OneRunEach of images: int * standardError: float
    /// Several seeds each: the 95 % interval of the paired differences if both have the same seeds, otherwise Welch's.
    | OverSeeds of isPaired: bool

/// <summary>A comparison of two networks by top-1 after the last epoch, in fractions from 0 to 1.</summary>
type TwinComparison =
    {
        Twin: Twin
        BnFree: Sample
        Other: Sample
        Evidence: Evidence
        /// Of the difference of the means, bn-free − other.
        Interval: Interval
    }

    member c.Difference = c.BnFree.Mean - c.Other.Mean

/// <summary>The outcome of comparing bn-free with a twin.</summary>
type Verdict =
    | Above of TwinComparison
    | Below of TwinComparison
    | Inconclusive of TwinComparison
    /// The runs cannot be compared yet.
    | Undecided of Twin * reason: string

/// <summary>Compares bn-free with its twins.</summary>
/// <remarks>Above the twin without normalisation means clearly above, the paper's claim: by more than 5 points, and significantly. Above the
/// batch-norm twin means significantly above.</remarks>
module Verdict =
    /// Percentage points above which a difference is clear.
    let minimumPoints = 5.0

    let private errors = 3.0

    let private norm twin =
        match twin with
        | WithoutNorm -> "none"
        | WithBatchNorm -> "batch-norm"

    /// The groups with this norm in their configuration or, without a configuration, in their label, such as `bn-free on CIFAR-10`.
    let private withNorm (norm: string) (groups: RunGroup list) =
        let isNorm (text: string) = text.Equals(norm, StringComparison.OrdinalIgnoreCase)

        let words (label: string) =
            label.Split([| ' '; ','; ';'; '('; ')'; '/'; ':' |], StringSplitOptions.RemoveEmptyEntries)

        groups
        |> List.filter (fun group ->
            match group.Runs.Head.Configuration |> List.tryFind (fst >> (=) "norm") with
            | Some(_, found) -> isNorm found
            | None -> words group.Label |> Array.exists isNorm)

    let private judge (comparison: TwinComparison) =
        let points = 100.0 * comparison.Difference

        if comparison.Interval.High < 0.0 then
            Below comparison
        elif comparison.Interval.Low > 0.0 && (comparison.Twin = WithBatchNorm || points > minimumPoints) then
            Above comparison
        else
            Inconclusive comparison

    let private oneRunEach twin (bnFree: EpochRecord) (other: EpochRecord) =
        let variance (accuracy: Accuracy) = accuracy.Top1 * (1.0 - accuracy.Top1) / float accuracy.Images
        let error = sqrt (variance bnFree.Test + variance other.Test)
        let difference = bnFree.Test.Top1 - other.Test.Top1

        { Twin = twin
          BnFree = Statistics.sample [ bnFree.Test.Top1 ]
          Other = Statistics.sample [ other.Test.Top1 ]
          Evidence = OneRunEach(min bnFree.Test.Images other.Test.Images, error)
          Interval = { Low = difference - errors * error; High = difference + errors * error } }

    /// The top-1 of each run with its seed. A run without a seed in its configuration is paired with none.
    let private bySeed (group: RunGroup) (epochs: EpochRecord list) =
        List.map2
            (fun (run: RunLog) (epoch: EpochRecord) ->
                RunGroup.seed run |> Option.defaultValue run.Name, epoch.Test.Top1)
            group.Runs
            epochs

    let private overSeeds twin (bnFree: (string * float) list) (other: (string * float) list) =
        let interval, isPaired = Statistics.difference bnFree other

        { Twin = twin
          BnFree = bnFree |> List.map snd |> Statistics.sample
          Other = other |> List.map snd |> Statistics.sample
          Evidence = OverSeeds isPaired
          Interval = interval }

    let private compare twin (bnFree: RunGroup, a: EpochRecord list) (other: RunGroup, b: EpochRecord list) =
        match a, b with
        | a :: _, b :: _ when a.Stage <> b.Stage ->
            Undecided(twin, $"they end in different stages, {a.Stage} and {b.Stage}")
        | [ a ], [ b ] -> judge (oneRunEach twin a b)
        | [ _ ], several
        | several, [ _ ] -> Undecided(twin, $"one has 1 seed and the other has {several.Length}")
        | _ -> judge (overSeeds twin (bySeed bnFree a) (bySeed other b))

    let private against groups twin =
        match withNorm "bn-free" groups, withNorm (norm twin) groups with
        | [], _
        | _, [] -> None
        | [ bnFree ], [ other ] ->
            match RunGroup.final bnFree, RunGroup.final other with
            | Error reason, _
            | _, Error reason -> Some(Undecided(twin, reason))
            | Ok a, Ok b -> Some(compare twin (bnFree, a) (other, b))
        | several, others ->
            Some(
                Undecided(
                    twin,
                    $"there are {several.Length} configurations of bn-free and {others.Length} of {norm twin}; a comparison needs one of each"
                )
            )

    /// <summary>Compares bn-free with its twin without normalisation and with its batch-norm twin, if the runs include them.</summary>
    let ofRuns (runs: RunLog list) : Verdict list =
        let groups = RunGroup.ofRuns runs
        [ WithoutNorm; WithBatchNorm ] |> List.choose (against groups)

    let private percent (share: float) = $"{100.0 * share:f2} %%"
    let private points (share: float) = $"{100.0 * share:f2}".Replace('-', '−')

    let private numbers (comparison: TwinComparison) =
        let difference = comparison.Difference

        let against =
            $"{percent comparison.BnFree.Mean} against {percent comparison.Other.Mean} top-1 after the last epoch"

        let more = if difference < 0.0 then "less" else "more"

        match comparison.Evidence with
        | OneRunEach(images, error) ->
            $"{against} on {images} test images, {points (abs difference)} points {more} \
              (standard error of the difference: {points error} points)"
        | OverSeeds isPaired ->
            let interval =
                if isPaired then
                    "95 % interval of the difference, paired by seed"
                else
                    "Welch's 95 % interval of the difference"

            $"{against}, means over {comparison.BnFree.Count} and {comparison.Other.Count} seeds with standard deviations of \
              {points comparison.BnFree.Deviation} and {points comparison.Other.Deviation} points, {points (abs difference)} points {more} \
              ({interval}: {points comparison.Interval.Low} to {points comparison.Interval.High} points)"

    let private name twin =
        match twin with
        | WithoutNorm -> "its twin without normalisation"
        | WithBatchNorm -> "its batch-norm twin"

    /// What a clear difference takes.
    let private criterion (comparison: TwinComparison) =
        match comparison.Evidence with
        | OneRunEach _ ->
            $"Clearly above means more than {minimumPoints:f0} points and more than {errors:f0} standard errors."
        | OverSeeds _ ->
            $"Clearly above means more than {minimumPoints:f0} points and an interval above 0; more seeds narrow the interval."

    let private caveat (comparison: TwinComparison) =
        match comparison.Evidence with
        | OneRunEach _ -> " One run each cannot show the spread over seeds."
        | OverSeeds _ -> ""

    /// <summary>The verdict in one or two sentences.</summary>
    let sentence verdict =
        match verdict with
        | Above({ Twin = WithoutNorm } as comparison) ->
            $"bn-free is clearly above {name WithoutNorm}: {numbers comparison}."
        | Below({ Twin = WithoutNorm } as comparison)
        | Inconclusive({ Twin = WithoutNorm } as comparison) ->
            $"bn-free is NOT clearly above {name WithoutNorm}: {numbers comparison}. {criterion comparison}"
        | Above comparison -> $"bn-free is above {name WithBatchNorm}: {numbers comparison}.{caveat comparison}"
        | Below comparison -> $"bn-free is below {name WithBatchNorm}: {numbers comparison}.{caveat comparison}"
        | Inconclusive comparison ->
            $"bn-free and {name WithBatchNorm} do not differ significantly: {numbers comparison}.{caveat comparison}"
        | Undecided(WithoutNorm, reason) -> $"bn-free is NOT shown to be clearly above {name WithoutNorm}: {reason}."
        | Undecided(WithBatchNorm, reason) -> $"bn-free cannot be compared with {name WithBatchNorm} yet: {reason}."
