namespace NormFree.Experiments

open NormFree.Data
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// <summary>One row of an experiment's table: a network and how it is trained.</summary>
type Variant =
    {
        /// Shown in tables; no result depends on it.
        Label: string
        Net: NetSpec
        /// Also the only stage of a full-precision network.
        Stage1: Recipe
        Stage2: Recipe option
    }

/// <summary>Variants to train on the same images, each with every seed.</summary>
type Experiment =
    {
        /// Also names the folder of its runs.
        Name: string
        Images: Dataset
        /// They replace the recipes' seeds.
        Seeds: int64 list
        Variants: Variant list
        /// Whether variants that differ only in stage 2 share one stage 1, which is then trained first, in a run of its own.
        ShareStage1: bool
        Execution: Execution
        Device: Device
    }

/// <summary>One run of an experiment: a variant with a seed.</summary>
type ExperimentRun =
    {
        Variant: Variant
        Seed: int64
        /// A hash of everything that determines the result: see <c>RunKey</c>.
        Key: string
        Folder: RunFolder
        /// The run whose stage 1 this run's stage 2 continues; None if the run trains both.
        SharedStage1: RunFolder option
        /// Multiply-accumulates of all forward passes, by stage.
        Work: (string * float) list
        /// Estimated peak memory in bytes.
        Memory: int64
    }

    /// <summary>The variant's label and the seed.</summary>
    member run.Label = $"{run.Variant.Label}, seed {run.Seed}"

/// <summary>A run's log, or the reason for its failure.</summary>
type ExperimentResult = { Run: ExperimentRun; Log: Result<RunLog, string> }

[<RequireQualifiedAccess>]
module Variant =

    /// <summary>A variant that uses one recipe in both stages, with a weight decay of 1e-5 in stage 1 as in the paper.</summary>
    let twoStages label net recipe =
        { Label = label
          Net = net
          Stage1 = { recipe with WeightDecay = Defaults.Stage1WeightDecay }
          Stage2 = Some recipe }

    let internal seeded seed variant =
        { variant with
            Stage1 = { variant.Stage1 with Seed = seed }
            Stage2 = variant.Stage2 |> Option.map (fun recipe -> { recipe with Seed = seed }) }

    /// The variant of stage 1 alone, of which stage 2 may be another one: in stage 1 all weights are real.
    let internal stage1 variant =
        { variant with
            Label = $"stage 1 of {variant.Label}"
            Net = Net.withShortcutWeights WeightBinariser.Binary variant.Net
            Stage2 = None }

    /// Each stage's network, as it is trained, and recipe.
    let internal stages variant =
        [ yield Activations, variant.Stage1
          for recipe in Option.toList variant.Stage2 do
              yield ActivationsAndWeights, recipe ]
        |> List.map (fun (binarise, recipe) -> Recipe.applyTo (Net.withBinarise binarise variant.Net) recipe, recipe)
