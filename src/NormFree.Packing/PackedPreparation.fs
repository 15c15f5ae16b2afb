namespace NormFree.Packing

open NormFree.Data
open NormFree.Inference.Model
open NormFree.Runs

/// <summary>How test images are prepared, in the words of data sets and in those of packed files.</summary>
[<RequireQualifiedAccess>]
module internal PackedPreparation =

    let private square kind size = ImageStep(kind, size, size)

    /// <summary>Throws TrainingException where chance has a part in a step.</summary>
    let ofSteps (steps: Augment list) : ImageStep list =
        steps
        |> List.map (fun step ->
            match step with
            | ResizeShort size -> square ImageStepKind.Cover size
            | Resize size -> square ImageStepKind.Resize size
            | CentreCrop size -> square ImageStepKind.CentreCrop size
            | PadCrop _
            | Flip
            | RandomResizedCrop _
            | Lighting _ ->
                raise (
                    TrainingException
                        $"The network's test images are prepared by {Json.words step}, which a packed file does not know. Prepare them by \
                          ResizeShort, Resize and CentreCrop alone."
                ))

    /// <summary>None where a step is about another shape than a square.</summary>
    let toSteps (steps: ImageStep seq) : Augment list option =
        let step (step: ImageStep) =
            match step.Kind with
            | ImageStepKind.Cover -> ResizeShort step.Height
            | ImageStepKind.Resize -> Resize step.Height
            | _ -> CentreCrop step.Height

        if steps |> Seq.forall (fun step -> step.Height = step.Width) then
            Some(steps |> Seq.map step |> Seq.toList)
        else
            None
