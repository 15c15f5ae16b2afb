namespace NormFree.Cli

/// <summary>What <c>normfree export</c> writes.</summary>
[<RequireQualifiedAccess>]
type ExportFormat =
    | PyTorch
    | Safetensors
    | Onnx
    | Packed

/// <summary>The loss by its name. Distillation gets its teacher by another option.</summary>
type LossName =
    | CrossEntropyLoss
    | LabelSmoothingLoss of epsilon: float
    | DistillationLoss

/// <summary>A learning rate, or the test that finds one.</summary>
type RateName =
    | FixedRate of float
    | FindRate

/// <summary>The recipe that a training starts from: its rules, and the defaults of epochs, batch and learning rate.</summary>
type RecipeName =
    | PublishedRecipe
    | CorrectedRecipe
    /// A&B BNN's, with its form of the network.
    | AbBnnRecipe
