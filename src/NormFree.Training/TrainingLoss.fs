namespace NormFree.Training

open NormFree.Networks
open NormFree.Runs
open NormFree.Torch.Training
open TorchSharp

/// The loss of a recipe.
module internal TrainingLoss =

    /// The loss of images, logits and labels. The teacher's logits are computed without gradients.
    let ofRecipe (recipe: Recipe) (teacher: (torch.Tensor -> torch.Tensor) option) =
        fun (images: torch.Tensor) (logits: torch.Tensor) (labels: torch.Tensor) ->
            match recipe.Loss, teacher with
            | CrossEntropy, _ -> Losses.CrossEntropy(logits, labels)
            | LabelSmoothing epsilon, _ -> Losses.LabelSmoothing(logits, labels, epsilon)
            | CustomLoss name, _ -> Extensions.loss name logits labels
            | Distillation _, Some teacher ->
                let target = using (torch.no_grad ()) (fun _ -> teacher images)
                Losses.Distillation(logits, target)
            | Distillation teacher, None -> raise (TrainingException $"The teacher {teacher} was not loaded.")
