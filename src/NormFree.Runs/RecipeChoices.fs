namespace NormFree.Runs

open System.Text.Json.Serialization

/// <summary>PyTorch's optimisers, with β = (0.9, 0.999) and ε = 1e-8 for Adam and AdamW.</summary>
type Optimiser =
    /// Weight decay is added to the gradient.
    | Adam
    /// Decoupled weight decay.
    | AdamW
    /// AdamW that removes the radial part of the steps of scale-invariant weights (Heo et al., "AdamP", ICLR 2021).
    | AdamP
    /// With Nesterov momentum if it is positive.
    | Sgd of momentum: float
    /// An optimiser that a script registers under this name.
    | CustomOptimiser of name: string

/// <summary>How the learning rate decays over a stage's epochs.</summary>
type Schedule =
    | Constant
    | Linear
    | Cosine
    /// Multiplied by the factor every given number of epochs.
    | Step of every: int * factor: float

/// <summary>How shifts and β are initialised. Weights are always random.</summary>
[<RequireQualifiedAccess>]
type Initialisation =
    /// Shifts of 0, and β from the expected variance.
    | [<JsonPropertyName "fixed">] Fixed
    /// With BnFree and Scaled: shifts and β that give the input of each sign zero mean in every channel of a first batch, and unit variance
    /// averaged over channels (deviation 6).
    | [<JsonPropertyName "data-dependent">] DataDependent

type Clip =
    | NoClipping
    /// Adaptive gradient clipping with this λ.
    | Agc of factor: float

type Loss =
    | CrossEntropy
    | LabelSmoothing of epsilon: float
    /// Soft cross entropy against a teacher's output. The teacher is a checkpoint; labels are not used.
    | Distillation of teacher: string
    /// A loss that a script registers under this name.
    | CustomLoss of name: string
