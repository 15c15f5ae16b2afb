namespace NormFree.Experiments

open NormFree.Runs
open NormFree.Spec

/// <summary>Experiments that compare BN-free, batch-norm and unnormalised networks.</summary>
[<RequireQualifiedAccess>]
module Norms =

    /// <summary>A network in all three norms, each trained in two stages with one recipe.</summary>
    let variants (net: NetSpec) recipe =
        [ for norm in [ BnFree 0.2; BatchNorm; NoNorm ] ->
              Variant.twoStages (Names.norm norm) (Net.withNorm norm net) recipe ]

    /// <summary>BN-free against each of its twins.</summary>
    let comparisons = [ "bn-free", "batch-norm"; "bn-free", "none" ]

    /// <summary>Trains ReActNet-18 in all three norms with the script's budget, and writes the page.</summary>
    let compare (script: Script) kind (page: ExperimentPage) =
        variants (Budget.reactNet18 script.Budget) (Budget.recipe script.Budget)
        |> Script.sweep script script.Name (Script.images kind script)
        |> Script.publish script { page with Comparisons = comparisons }

    /// <summary>Trains a full-precision teacher with one seed, then a student in all three norms by distillation, and writes the page.</summary>
    let distil (script: Script) images (teacher: NetSpec) (student: NetSpec) (page: ExperimentPage) =
        let recipe = Budget.recipe script.Budget
        let oneSeed = { script with Budget = { script.Budget with Seeds = 1 } }

        let teachers =
            [ { Label = "teacher"; Net = teacher; Stage1 = { recipe with WeightDecay = 1e-4 }; Stage2 = None } ]
            |> Script.sweep oneSeed "imagenette-teacher" images

        let taught = { recipe with Loss = Distillation(Script.teacher teachers) }
        let students = variants student taught |> Script.sweep script script.Name images
        Script.publish script page (teachers @ students)

    /// <summary>ReActNet-18 in these batch sizes, BN-free and with batch norm, in stage 1. Every run trains on as many images, and its
    /// learning rate is the budget's · √(batch / the budget's batch), which suits Adam.</summary>
    let batchSizes (budget: Budget) (sizes: int list) =
        [ for norm in [ BnFree 0.2; BatchNorm ] do
              for batch in sizes ->
                  let rate = budget.LearningRate * sqrt (float batch / float budget.Batch)

                  { Label = $"{Names.norm norm}, batch {batch}"
                    Net = Budget.reactNet18 budget |> Net.withNorm norm
                    Stage1 =
                      { Budget.recipe { budget with Batch = batch; LearningRate = rate } with WeightDecay = 1e-5 }
                    Stage2 = None } ]
