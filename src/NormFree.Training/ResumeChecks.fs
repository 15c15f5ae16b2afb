namespace NormFree.Training

open NormFree.Data
open NormFree.Networks
open NormFree.Runs

/// Whether a checkpoint belongs to the stage that wants to resume from it.
[<RequireQualifiedAccess>]
module internal ResumeChecks =

    let private trainingImages (plan: Plan) recipe = (fst (StageImages.split recipe plan.Dataset)).Count

    /// Whether the cursor is beyond the epoch's images.
    let private isBeyondImages plan recipe (cursor: TrainingCursor) =
        let count = trainingImages plan recipe
        cursor.Progress.Places > count || cursor.Step > count

    /// Whether the images differ. Files of version 1 record only their number.
    let private hasOtherImages (plan: Plan) recipe (current: TrainingState) (saved: TrainingState) =
        let count = lazy trainingImages plan recipe

        match saved.Images with
        | Some _ -> saved.Images <> current.Images
        | None ->
            saved.History
            |> List.exists (fun r -> r.Stage = saved.Stage && r.Train.Images + r.Unreadable <> count.Value)

    /// The saved recipe with the current path of its teacher, which is identified by its fingerprint. Without a fingerprint, paths are compared.
    let private withTeacherPath (current: TrainingState) (saved: TrainingState) =
        match saved.Recipe.Loss, current.Recipe.Loss with
        | Distillation _, Distillation _ when saved.Teacher <> None -> { saved.Recipe with Loss = current.Recipe.Loss }
        | _ -> saved.Recipe

    /// The names of the recipe's settings that differ.
    let private recipeDifferences stage (here: Recipe) (found: Recipe) =
        List.zip (RunConfiguration.recipeRows stage here) (RunConfiguration.recipeRows stage found)
        |> List.filter (fun (here, found) -> here <> found)
        |> List.map (fst >> fst)
        |> String.concat "; "

    /// Whether the task is the plan's. A folder gives its data set its name: of data that moved it may be another, as fingerprints identify them.
    let private isSameTask (plan: Plan) (task: ImageTask) (saved: TrainingState) =
        let here = ImageTask.Of plan.Dataset

        task = here
        || (plan.DataMoved.IsSome && saved.Images.IsSome && { task with Dataset = here.Dataset } = here)

    /// What differs between a checkpoint and the stage, as text.
    let private differences (plan: Plan) (network: Network) (current: TrainingState) spec task (saved: TrainingState) =
        [ if spec <> network.Spec then
              "network"
          let here = Recipe.effective network.Spec current.Recipe
          let found = Recipe.effective network.Spec (withTeacherPath current saved)

          if found <> here then
              $"recipe, namely {recipeDifferences saved.Stage here found}"
          elif saved.Teacher <> None && saved.Teacher <> current.Teacher then
              let path = Recipe.teacher saved.Recipe |> Option.defaultValue "none"
              $"teacher, whose weights differ from those of {path}"

          if not (isSameTask plan task saved) then
              "data set"
          elif hasOtherImages plan current.Recipe current saved then
              "images or augmentation"
          elif isBeyondImages plan current.Recipe saved.TrainingCursor then
              "number of images" ]

    /// The images were looked for elsewhere, so they may be others.
    let private moved (plan: Plan) =
        match plan.DataMoved with
        | Some where -> $" The data were read from another place ({where}): give that of the same images with --data."
        | None -> ""

    /// Throws TrainingException if a checkpoint was trained with another network, recipe or data set than the stage.
    let requireSameSettings plan network current path spec task saved =
        match differences plan network current spec task saved with
        | [] -> ()
        | different ->
            let what = String.concat ", " different

            raise (
                TrainingException
                    $"{path} has another network, recipe or data set (different: {what}). Resume with the settings that the run was started \
                      with, or choose another folder.{moved plan}"
            )
