namespace NormFree.Experiments

open NormFree.Runs
open NormFree.Spec

/// <summary>Experiments that compare BN-free, batch-norm and unnormalised networks.</summary>
[<RequireQualifiedAccess>]
module Norms =

    /// <summary>A network in all three norms, each trained in two stages with one recipe.</summary>
    let variants (net: NetSpec) recipe =
        [ for norm in [ BnFree Defaults.Alpha; BatchNorm; NoNorm ] ->
              Variant.twoStages (Names.norm norm) (Net.withNorm norm net) recipe ]

    /// <summary>A network without and with batch norm, with these weights in its shortcuts. 1-bit shortcuts of the bn-free network are zero-mean, as in
    /// the corrected recipe (deviation 16).</summary>
    let twins weights (net: NetSpec) recipe =
        let zeroMean =
            match weights with
            | WeightBinariser.Binary -> WeightBinariser.ZeroMean
            | other -> other

        [ for label, norm, weights in [ "bn-free", BnFree Defaults.Alpha, zeroMean; "batch norm", BatchNorm, weights ] ->
              Variant.twoStages label (net |> Net.withNorm norm |> Net.withShortcutWeights weights) recipe ]

    /// <summary>ReActNet-18 as this project trains it, and as A&amp;B BNN's recipe does with the budget's epochs and batch: at its own learning rate, and
    /// at the budget's. The shortcuts of the first are zero-mean (deviation 16).</summary>
    let rival (budget: Budget) =
        let net = Budget.reactNet18 budget
        let ours = net |> Net.withShortcutWeights WeightBinariser.ZeroMean

        let theirs label rate =
            let within (recipe: Recipe) =
                { recipe with Epochs = budget.Epochs; Batch = budget.Batch; LearningRate = rate }

            { Label = label
              Net = Net.asAbBnn net
              Stage1 = within Recipe.abBnnStage1
              Stage2 = Some(within Recipe.abBnn) }

        [ Variant.twoStages "bn-free" ours (Budget.recipe budget)
          theirs "ab-bnn" Recipe.abBnn.LearningRate
          if budget.LearningRate <> Recipe.abBnn.LearningRate then
              theirs $"ab-bnn, rate {budget.LearningRate}" budget.LearningRate ]

    /// <summary>Trains the variants of <c>rival</c>, and writes the page.</summary>
    let compareRival (script: Script) kind (page: ExperimentPage) =
        let variants = rival script.Budget

        variants
        |> Script.sweep script script.Name (Script.images kind script)
        |> Script.publish
            script
            { page with Comparisons = [ for variant in variants.Tail -> variants.Head.Label, variant.Label ] }

    /// <summary>Binary networks of several papers for 32×32 images of 10 classes, in the budget's width. Their names are short, for tables.</summary>
    let backbones (budget: Budget) =
        [ for name, table in
              [ "reactnet-18", ReActNet.reactNet18
                "bireal-18", BiRealNet.biReal18
                "vgg-small", VggSmall.vggSmall
                "densenet-28", BinaryDenseNet.denseNet28 ] ->
              name, table { Size.Full with Width = budget.Width } CifarStem |> Net.withClasses 10 ]

    /// <summary>Trains each backbone in all three norms, and writes the page.</summary>
    let compareBackbones (script: Script) kind (page: ExperimentPage) =
        let networks = backbones script.Budget

        let variants =
            [ for name, net in networks do
                  for variant in variants net (Budget.recipe script.Budget) ->
                      { variant with Label = $"{name}, {variant.Label}" } ]

        let comparisons =
            [ for name, _ in networks do
                  for other in [ "batch-norm"; "none" ] -> $"{name}, bn-free", $"{name}, {other}" ]

        variants
        |> Script.sweep script script.Name (Script.images kind script)
        |> Script.publish script { page with Comparisons = comparisons }

    /// <summary>BN-free against each of its twins.</summary>
    let comparisons = [ "bn-free", "batch-norm"; "bn-free", "none" ]

    /// <summary>Trains ReActNet-18 in all three norms with the script's budget, and writes the page.</summary>
    let compare (script: Script) kind (page: ExperimentPage) =
        variants (Budget.reactNet18 script.Budget) (Budget.recipe script.Budget)
        |> Script.sweep script script.Name (Script.images kind script)
        |> Script.publish script { page with Comparisons = comparisons }

    /// <summary>Trains ReActNet-18 without and with batch norm, with these weights in its shortcuts, and writes the page. Runs that differ in stage 2
    /// only, also those of other weights, share their stage 1.</summary>
    let compareTwins (script: Script) kind weights (page: ExperimentPage) =
        twins weights (Budget.reactNet18 script.Budget) (Budget.recipe script.Budget)
        |> Script.sweepShared script script.Name (Script.images kind script)
        |> Script.publish script { page with Comparisons = [ "bn-free", "batch norm" ] }

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
        [ for norm in [ BnFree Defaults.Alpha; BatchNorm ] do
              for batch in sizes ->
                  let rate = budget.LearningRate * sqrt (float batch / float budget.Batch)

                  { Label = $"{Names.norm norm}, batch {batch}"
                    Net = Budget.reactNet18 budget |> Net.withNorm norm
                    Stage1 =
                      { Budget.recipe { budget with Batch = batch; LearningRate = rate } with
                          WeightDecay = Defaults.Stage1WeightDecay }
                    Stage2 = None } ]
