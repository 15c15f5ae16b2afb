namespace NormFree.Experiments

open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// <summary>One row of an experiment's table: a network and how it is trained.</summary>
type Variant =
    {
        /// What tells it from its neighbours; nothing depends on it.
        Label: string
        Net: NetSpec
        /// Stage 1, or all of a full-precision network's training.
        First: Recipe
        /// Stage 2, where there is one.
        Second: Recipe option
    }

/// <summary>Variants that are trained on the same images, each once a seed.</summary>
type Experiment =
    {
        /// Also the folder's name.
        Name: string
        Images: Dataset
        /// They take the place of those in the recipes.
        Seeds: int64 list
        Variants: Variant list
        Execution: Execution
        Device: Device
    }

/// <summary>One training of an experiment: a variant with a seed.</summary>
type ExperimentRun =
    {
        Variant: Variant
        Seed: int64
        /// Of everything that decides the result: see <c>RunKey</c>.
        Key: string
        Folder: RunFolder
        /// Multiply-accumulates of all its forward passes, by stage.
        Work: (string * float) list
        /// Bytes that it takes at most, roughly.
        Memory: int64
    }

    /// <summary>The variant's label with the seed.</summary>
    member run.Label = $"{run.Variant.Label}, seed {run.Seed}"

/// <summary>What became of a run; where it failed, the reason.</summary>
type ExperimentResult = { Run: ExperimentRun; Log: Result<RunLog, string> }

[<RequireQualifiedAccess>]
module Variant =

    /// <summary>A variant of which both stages have the same recipe, but for stage 1's weight decay, as in the paper.</summary>
    let twoStages label net recipe =
        { Label = label; Net = net; First = { recipe with WeightDecay = 1e-5 }; Second = Some recipe }

    /// The variant with that seed in its recipes.
    let internal seeded seed variant =
        { variant with
            First = { variant.First with Seed = seed }
            Second = variant.Second |> Option.map (fun recipe -> { recipe with Seed = seed }) }

    /// The network of each stage as it is trained, with the stage's recipe.
    let internal stages variant =
        [ yield Activations, variant.First
          for recipe in Option.toList variant.Second do
              yield ActivationsAndWeights, recipe ]
        |> List.map (fun (binarise, recipe) -> Recipe.applyTo (Net.withBinarise binarise variant.Net) recipe, recipe)
