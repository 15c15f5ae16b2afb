namespace NormFree.Packing

open NormFree.Data
open NormFree.Inference.Model
open NormFree.Runs

/// <summary>Converts the preprocessing of test images between data sets and packed files.</summary>
[<RequireQualifiedAccess>]
module internal PackedPreprocessing =

    let private square kind size = PreprocessingStep(kind, size, size)

    /// <summary>Throws TrainingException if a step is random.</summary>
    let ofSteps (steps: Augment list) : PreprocessingStep list =
        steps
        |> List.map (fun step ->
            match step with
            | ResizeShort size -> square PreprocessingKind.Cover size
            | Resize size -> square PreprocessingKind.Resize size
            | CentreCrop size -> square PreprocessingKind.CentreCrop size
            | PadCrop _
            | ReflectPadCrop _
            | Flip
            | RandomResizedCrop _
            | Lighting _
            | RandAugment _
            | CustomAugment _
            | Mixup _
            | CutMix _ ->
                raise (
                    TrainingException
                        $"The network's test images are preprocessed by {Json.name step}, which packed files do not support. Use only \
                          ResizeShort, Resize and CentreCrop."
                ))

    /// <summary>None if a step resizes or crops to a shape that is not square.</summary>
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
