/// <summary>Checks the preprocessing that a checkpoint or a configuration asks for: a file may give any values.</summary>
module internal NormFree.Runs.PreprocessingChecks

open System
open NormFree.Data

/// <summary>The most steps. Packed networks have the same limit, PackedLimits.MaxPreprocessingSteps.</summary>
[<Literal>]
let MaxSteps = 16

/// <summary>The most pixels that all steps produce. Packed networks have the same limit, PackedLimits.MaxPreprocessingPixels.</summary>
[<Literal>]
let MaxPixels = 33_554_432L

/// The side of the image that a step produces; None if it keeps the size.
let private sideOf step =
    match step with
    | RandomResizedCrop(_, _, size)
    | ResizeShort size
    | CentreCrop size
    | Resize size -> Some(int64 size)
    | PadCrop _
    | ReflectPadCrop _
    | Flip
    | Lighting _
    | RandAugment _
    | CustomAugment _
    | Mixup _
    | CutMix _ -> None

let private isMissing (value: 'a) = isNull (box value)

/// <summary>What is wrong with a normalisation; nothing if it is valid.</summary>
let ofNormalisation (normalisation: Normalisation) : string list =
    [ if isMissing normalisation.Mean || isMissing normalisation.Deviation then
          "the normalisation is missing"
      elif normalisation.Mean.Length <> 3 || normalisation.Deviation.Length <> 3 then
          "the normalisation must have three means and three deviations"
      elif not (Seq.forall Single.IsFinite normalisation.Mean) then
          "the means of the normalisation must be finite"
      elif not (normalisation.Deviation |> Seq.forall (fun value -> Single.IsFinite value && value > 0f)) then
          "the deviations of the normalisation must be finite and above 0" ]

/// <summary>What is wrong with preprocessing steps; nothing if they are valid.</summary>
let ofSteps (steps: Augment list) : string list =
    let sides = steps |> List.choose sideOf

    [ if steps.Length > MaxSteps then
          $"there are {steps.Length} preprocessing steps; the limit is {MaxSteps}"
      elif
          sides |> List.exists (fun side -> side < 1L || decimal side * decimal side > decimal MaxPixels)
          || List.sumBy (fun side -> side * side) sides > MaxPixels
      then
          $"the preprocessing produces more than {MaxPixels} pixels, or a side below 1" ]
