/// <summary>Checks the image task of a checkpoint, which a file may give any values.</summary>
module internal NormFree.Networks.TaskChecks

open NormFree.Data
open NormFree.Runs
open NormFree.Spec

let private isMissing (value: 'a) = isNull (box value)

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
      yield! PreprocessingChecks.ofNormalisation task.Normalisation
      yield! PreprocessingChecks.ofSteps task.Preprocessing ]
