/// <summary>Checks the image task of a checkpoint, which a file may give any values.</summary>
module internal NormFree.Networks.TaskChecks

open System
open NormFree.Data
open NormFree.Spec

/// Preprocessing steps, as of packed networks.
[<Literal>]
let private MaxSteps = 16

/// Pixels that all steps produce, as of packed networks.
let private maxStepPixels = 1L <<< 25

/// The side of the image that a step produces; None if it keeps the size.
let private sideOf step =
    match step with
    | RandomResizedCrop(_, _, size)
    | ResizeShort size
    | CentreCrop size
    | Resize size -> Some(int64 size)
    | _ -> None

let private isMissing (value: 'a) = isNull (box value)

let private ofNormalisation (normalisation: Normalisation) =
    [ if isMissing normalisation.Mean || isMissing normalisation.Deviation then
          "its normalisation is missing"
      elif normalisation.Mean.Length <> 3 || normalisation.Deviation.Length <> 3 then
          "its normalisation must have three means and three deviations"
      elif not (Seq.forall Single.IsFinite normalisation.Mean) then
          "the means of its normalisation must be finite"
      elif not (normalisation.Deviation |> Seq.forall (fun value -> Single.IsFinite value && value > 0f)) then
          "the deviations of its normalisation must be finite and above 0" ]

let private ofSteps (steps: Augment list) =
    let sides = steps |> List.choose sideOf

    [ if steps.Length > MaxSteps then
          $"it has {steps.Length} preprocessing steps; the limit is {MaxSteps}"
      elif
          sides |> List.exists (fun side -> side < 1L || decimal side * decimal side > decimal maxStepPixels)
          || List.sumBy (fun side -> side * side) sides > maxStepPixels
      then
          $"its preprocessing produces more than {maxStepPixels} pixels, or a side below 1" ]

let private ofClasses (net: NetSpec) (classes: string[]) =
    [ if isMissing classes then
          "its class names are missing"
      elif classes.Length <> net.Classes then
          $"it has {classes.Length} class names for {net.Classes} classes"
      elif Array.exists isMissing classes then
          $"class {Array.findIndex isMissing classes} has no name" ]

/// <summary>What is wrong with a task of a network; nothing if it is valid.</summary>
let problems (net: NetSpec) (task: ImageTask) : string list =
    [ if task.Size < 1 || int64 task.Size * int64 task.Size > Image.maxPixels then
          $"the image side must be from 1 to {int (sqrt (float Image.maxPixels))}, not {task.Size}"
      else
          yield! ImageWork.problems net task.Size
      yield! ofClasses net task.Classes
      yield! ofNormalisation task.Normalisation
      yield! ofSteps task.Preprocessing ]
