namespace NormFree.Training

open System
open NormFree.Runs

/// Rejects logits that are NaN or infinite, which have no most probable class.
[<RequireQualifiedAccess>]
module internal FiniteLogits =

    /// Throws TrainingException if a logit (N×classes) is not finite; `images` names the images in the error.
    let require (images: string) (classes: string[]) (logits: float32[]) =
        match Array.tryFindIndex (Single.IsFinite >> not) logits with
        | None -> ()
        | Some index ->
            raise (
                TrainingException
                    $"{images}: the network's logit of class {classes[index % classes.Length]} is {logits[index]}. Its weights or the values that it \
                      computes are not finite: give an earlier checkpoint."
            )
