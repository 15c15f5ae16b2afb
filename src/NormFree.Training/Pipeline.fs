namespace NormFree.Training

open System
open System.IO
open NormFree.Inference.Files
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// <summary>A run that has ended with a packed network.</summary>
type PackedRun =
    { Packed: Packed
      Log: RunLog }

    /// <summary>Writes the packed file, whole or not at all.</summary>
    /// <remarks>Throws IOException or UnauthorizedAccessException where it cannot be written; the one before it is intact then.</remarks>
    member r.Save(path: string) = PackedFile.Write(path, r.Packed.Model)

/// <summary>
/// Training as a pipeline of typed stages: <c>Pipeline.from images |> Pipeline.train recipe net |> Pipeline.binariseWeights recipe</c>.
/// </summary>
/// <remarks>
/// With a folder (<c>Pipeline.into</c>) every epoch is kept, and a pipeline that runs again goes on where it was, or reads the result if
/// it was done.
/// </remarks>
[<RequireQualifiedAccess>]
module Pipeline =

    /// <summary>Begins a pipeline with its images.</summary>
    let from dataset : Plan =
        { Dataset = dataset; Folder = None; Label = ""; Arguments = []; Configuration = None; Options = RunOptions.Default }

    /// <summary>Keeps checkpoints and the log in this folder.</summary>
    let into path (plan: Plan) = { plan with Folder = Some(RunFolder.at path) }

    /// <summary>What tells this run from its neighbours in a comparison; the norm's name if nothing is said.</summary>
    let labelled label (plan: Plan) = { plan with Label = label }

    /// <summary>Looks inside the binary layers so often, where the run has a folder; <c>EverySteps 50</c> if nothing is said.</summary>
    let telemetry sampling (plan: Plan) = { plan with Options = { plan.Options with Telemetry = sampling } }

    /// <summary>Calls a function at every event of the training.</summary>
    let watchedBy watch (plan: Plan) = { plan with Options = { plan.Options with Watch = watch } }

    /// A run's first stage, from a checkpoint or as its recipe starts.
    let private first binarise number (init: string option) recipe net (plan: Plan) : Trained<'weights> =
        let recipe, net = PlanChecks.prepared plan recipe (Net.withBinarise binarise net)

        let net, begin' =
            match init, recipe.Initialisation with
            | Some path, _ -> StageStart.initialised plan number path net, Checkpoint.start path
            | None, Initialisation.DataDependent when DataDependentInit.concerns net ->
                StageStart.measured plan number recipe net
            | None, _ -> net, ignore

        let configuration = PlanChecks.beginning plan init net |> RunConfiguration.withRecipe number recipe
        StageRun.run plan number configuration recipe net [] [] begin'

    /// <summary>Stage 1: trains a network with real weights, from its start or from a checkpoint of the same tensors.</summary>
    let trainFrom (init: string option) recipe net (plan: Plan) : Trained<RealWeights> =
        first Activations 1 init recipe net plan

    /// <summary>Stage 1: trains a network with real weights from its start.</summary>
    /// <remarks>Throws TrainingException where the network does not fit the images or the recipe is invalid, naming every problem.</remarks>
    let train recipe net plan = trainFrom None recipe net plan

    /// <summary>Stage 2: binarises the weights, starting from those of stage 1, and goes on training.</summary>
    let binariseWeights recipe (trained: Trained<RealWeights>) : Trained<BinaryWeights> =
        use trained = trained
        let before, plan = trained.Network, trained.Plan
        PlanChecks.requireBinary before.Spec
        PlanChecks.requireSameHoldOut trained.Recipe recipe
        let recipe, net = PlanChecks.prepared plan recipe (Net.withBinarise ActivationsAndWeights before.Spec)
        let number = trained.Stages + 1
        let configuration = trained.Configuration |> RunConfiguration.withRecipe number recipe

        StageRun.run
            plan
            number
            configuration
            recipe
            net
            trained.History
            trained.State.Changes
            (fun network ->
                let values = dict before.Tensors
                network |> Network.fill (fun name -> values[name]))

    /// <summary>Stage 2 from a checkpoint of stage 1, or from the start of a network where none is given.</summary>
    let trainBinaryFrom (init: string option) recipe net (plan: Plan) : Trained<BinaryWeights> =
        PlanChecks.requireBinary net
        first ActivationsAndWeights 2 init recipe net plan

    /// <summary>Writes the network's weights to a file that <c>normfree</c> reads.</summary>
    let save path (trained: Trained<'weights>) =
        Checkpoint.save
            path
            None
            { Network = trained.Network; ImageTask = ImageTask.Of trained.Plan.Dataset; State = trained.State }

        trained

    /// Reports get nothing but the folder.
    let private keepConfusion (trained: Trained<'weights>) =
        let plan = trained.Plan

        match StageStart.written plan with
        | Some folder when File.Exists(folder.Best trained.Stages) ->
            ConfusionMatrix.keep
                plan.Options
                (StageRun.placed plan)
                trained.Recipe.Batch
                plan.Dataset.Test
                folder
                trained.Stages
        | _ -> ()

    /// <summary>Ends a run: its folder says that it is finished and holds what its best network takes for what, and its log is a value for
    /// reports. The network is freed.</summary>
    let finish (trained: Trained<'weights>) : RunLog =
        use trained = trained
        keepConfusion trained
        let label = StageStart.label trained.Plan trained.Network.Spec
        StageStart.describe trained.Plan trained.Network.Spec trained.Configuration trained.State.Changes true

        { Name =
            match trained.Plan.Folder with
            | Some folder -> DirectoryInfo(folder.Path).Name
            | None -> label
          Label = label
          Arguments = trained.Plan.Arguments
          Configuration = RunConfiguration.rows { trained.Configuration with Changes = trained.State.Changes }
          Epochs = trained.History
          Finished = true }

    /// <summary>Ends a run as <c>finish</c> does, with its network as it is deployed. Real weights have no such form: packing them does not compile.</summary>
    /// <remarks>Throws TrainingException where one of the network's numbers cannot be packed.</remarks>
    let pack (trained: Trained<BinaryWeights>) : PackedRun =
        use trained = trained
        let training = Packing.describe (Stage.name trained.Network.Spec) trained.History
        let packed = Packing.pack (ImageTask.Of trained.Plan.Dataset) training trained.Network
        { Packed = packed; Log = finish trained }
