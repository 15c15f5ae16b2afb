namespace NormFree.Packing

open NormFree.Data
open NormFree.Inference.Model
open NormFree.Runs

/// <summary>How test images are prepared, in the words of data sets and in those of packed files.</summary>
[<RequireQualifiedAccess>]
module internal PackedPreparation =

    let private square kind size = PreprocessingStep(kind, size, size)

    /// <summary>Throws TrainingException where chance has a part in a step.</summary>
    let ofSteps (steps: Augment list) : PreprocessingStep list =
        steps
        |> List.map (fun step ->
            match step with
            | ResizeShort size -> square PreprocessingKind.Cover size
            | Resize size -> square PreprocessingKind.Resize size
            | CentreCrop size -> square PreprocessingKind.CentreCrop size
            | PadCrop _
            | Flip
            | RandomResizedCrop _
            | Lighting _ ->
                raise (
                    TrainingException
                        $"The network's test images are prepared by {Json.name step}, which a packed file does not know. Prepare them by \
                          ResizeShort, Resize and CentreCrop alone."
                ))

    /// <summary>None where a step is about another shape than a square.</summary>
    let toSteps (steps: PreprocessingStep seq) : Augment list option =
        let step (step: PreprocessingStep) =
            match step.Kind with
            | PreprocessingKind.Cover -> ResizeShort step.Height
            | PreprocessingKind.Resize -> Resize step.Height
            | _ -> CentreCrop step.Height

        if steps |> Seq.forall (fun step -> step.Height = step.Width) then
            Some(steps |> Seq.map step |> Seq.toList)
        else
            None
