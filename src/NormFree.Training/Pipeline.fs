namespace NormFree.Training

open System
open System.IO
open NormFree.Inference.Files
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Spec
open TorchSharp

/// <summary>A finished run with its packed network.</summary>
type PackedRun =
    { Packed: Packed
      Log: RunLog }

    /// <summary>Writes the packed file atomically.</summary>
    /// <remarks>Throws IOException or UnauthorizedAccessException if it cannot be written; the previous file is intact then.</remarks>
    member r.Save(path: string) = PackedFile.Write(path, r.Packed.Model)

/// <summary>
/// Training as a pipeline of typed stages: <c>Pipeline.from images |> Pipeline.train recipe net |> Pipeline.binariseWeights recipe</c>.
/// </summary>
/// <remarks>
/// With a folder (<c>Pipeline.into</c>), every epoch is saved. Rerunning the pipeline resumes it, or loads the result if it is finished.
/// </remarks>
[<RequireQualifiedAccess>]
module Pipeline =

    /// <summary>A pipeline that trains on a data set.</summary>
    let from dataset : Plan =
        { Dataset = dataset
          Folder = None
          Label = ""
          Arguments = []
          Configuration = None
          Options = RunOptions.Default
          DataMoved = None }

    /// <summary>Writes checkpoints and the log into this folder. Throws TrainingException if it cannot be created.</summary>
    let into path (plan: Plan) = { plan with Folder = Some(RunFolder.at path) }

    /// <summary>Sets the run's label in comparisons; the default is the norm's name.</summary>
    let labelled label (plan: Plan) = { plan with Label = label }

    /// <summary>Sets how often a run with a folder samples its binary layers; the default is <c>EverySteps 50</c>.</summary>
    let telemetry sampling (plan: Plan) = { plan with Options = { plan.Options with Telemetry = sampling } }

    /// <summary>Calls a function on every event of the training.</summary>
    let onEvent handler (plan: Plan) = { plan with Options = { plan.Options with OnEvent = handler } }

    /// The network and the function that sets its initial weights and shifts: those of `setWeights`, and the recipe's measured shifts if stage 2
    /// measures them again.
    let private continued plan number (recipe: Recipe) net (setWeights: Network -> unit) =
        if recipe.Remeasure = Some true && number = 2 && DataDependentInit.appliesTo net then
            let net, setShifts = StageResume.measured plan number recipe net setWeights

            net,
            fun network ->
                setWeights network
                setShifts network
        else
            net, setWeights

    /// The recipe and the network of a run's first stage, and the function that initialises it: from a checkpoint or as the recipe says.
    let internal prepare binarise number (init: string option) recipe net (plan: Plan) =
        let recipe, net = PlanChecks.prepare plan recipe (Net.withBinarise binarise net)
        PlanChecks.requireInit init recipe

        let net, initialise =
            match init, recipe.Initialisation with
            | Some path, _ ->
                let net = StageResume.fromCheckpoint plan number path net
                continued plan number recipe net (StageResume.loadInit plan path)
            | None, Initialisation.DataDependent when DataDependentInit.appliesTo net ->
                StageResume.measured plan number recipe net ignore
            | None, _ -> net, ignore

        recipe, net, initialise

    let private first binarise number init recipe net (plan: Plan) : Trained<'weights> =
        let recipe, net, initialise = prepare binarise number init recipe net plan
        let configuration = PlanChecks.configuration plan init net |> RunConfiguration.withRecipe number recipe
        // A resumed run does not need the file any more.
        let source = init |> Option.filter File.Exists |> Option.map Checkpoint.readSpec
        StageRun.run plan number configuration recipe net source [] [] initialise

    /// <summary>Stage 1: trains a network with real weights, from initial weights or from a checkpoint with the same tensors. The
    /// classes may be others: then the classifier starts with new weights, and a Warning says so. In the recipe's frozen epochs, only the
    /// classifier is trained.</summary>
    /// <remarks>Throws as <c>train</c> does, and InvalidFileException or IOException if the checkpoint does not fit or cannot be read.</remarks>
    let trainFrom (init: string option) recipe net (plan: Plan) : Trained<RealWeights> =
        first Activations 1 init recipe net plan

    /// <summary>Stage 1: trains a network with real weights.</summary>
    /// <remarks>Throws TrainingException, naming every problem, if the network does not fit the images or the recipe is invalid.</remarks>
    let train recipe net plan = trainFrom None recipe net plan

    /// <summary>Stage 2: binarises the weights of stage 1 and trains them.</summary>
    /// <remarks>Throws as <c>train</c> does, and TrainingException for a full-precision network or another hold-out than stage 1's.</remarks>
    let binariseWeights recipe (trained: Trained<RealWeights>) : Trained<BinaryWeights> =
        use trained = trained
        let before, plan = trained.Network, trained.Plan
        PlanChecks.requireBinary before.Spec
        PlanChecks.requireSameHoldOut trained.Recipe recipe
        let recipe, net = PlanChecks.prepare plan recipe (Net.withBinarise ActivationsAndWeights before.Spec)
        let number = trained.Stages + 1
        let configuration = trained.Configuration |> RunConfiguration.withRecipe number recipe

        let values = dict before.Tensors
        let setWeights = Network.fill (fun name -> values[name])
        let net, initialise = continued plan number recipe net setWeights
        let history, changes = trained.History, trained.State.Changes
        StageRun.run plan number configuration recipe net (Some before.Spec) history changes initialise

    /// <summary>Stage 2 after the finished stage 1 of another run, whose history it continues: several stages 2 can share one stage 1. The network may
    /// differ from stage 1's in its binary weights, not in its tensors.</summary>
    /// <remarks><c>path</c> is the last checkpoint of that stage 1. Throws as <c>binariseWeights</c> does, and TrainingException if the stage is
    /// not finished or was trained on other images.</remarks>
    let binariseFrom (path: string) recipe net (plan: Plan) : Trained<BinaryWeights> =
        PlanChecks.requireBinary net
        use stage1 = Checkpoint.load torch.ScalarType.Float32 path
        let before = stage1.Network.Spec
        PlanChecks.requireFinishedStage1 plan path stage1
        PlanChecks.requireSameHoldOut stage1.State.Recipe recipe

        let net =
            net |> Net.withExpectedVariance before.ExpectedVariance |> Net.withBinarise ActivationsAndWeights

        let recipe, net = PlanChecks.prepare plan recipe net

        let configuration =
            PlanChecks.configuration plan None net
            |> RunConfiguration.withRecipe 1 stage1.State.Recipe
            |> RunConfiguration.withRecipe 2 recipe

        let values = dict stage1.Network.Tensors
        let net, initialise = continued plan 2 recipe net (Network.fill (fun name -> values[name]))
        let history, changes = stage1.State.History, stage1.State.Changes
        StageRun.run plan 2 configuration recipe net (Some before) history changes initialise

    /// <summary>Stage 2 from a checkpoint of stage 1, or from initial weights. Throws as <c>trainFrom</c> does.</summary>
    let trainBinaryFrom (init: string option) recipe net (plan: Plan) : Trained<BinaryWeights> =
        PlanChecks.requireBinary net
        first ActivationsAndWeights 2 init recipe net plan

    /// <summary>Writes the network to a checkpoint file. Throws IOException or UnauthorizedAccessException if it cannot be written.</summary>
    let save path (trained: Trained<'weights>) =
        Checkpoint.save
            path
            None
            { Network = trained.Network; ImageTask = ImageTask.Of trained.Plan.Dataset; State = trained.State }

        trained

    /// Writes the confusion matrix for reports, which read only the folder.
    let private writeConfusion (trained: Trained<'weights>) =
        let plan = trained.Plan

        match StageResume.writableFolder plan with
        | Some folder when File.Exists(folder.Best trained.Stages) ->
            ConfusionMatrix.writeFile
                plan.Options
                (StageRun.place plan)
                trained.Recipe.Batch
                plan.Dataset.Test
                folder
                trained.Stages
        | _ -> ()

    /// <summary>Finishes a run: marks its folder as finished, writes the confusion matrix of the best network, and returns the log. The network is
    /// disposed.</summary>
    let finish (trained: Trained<'weights>) : RunLog =
        use trained = trained
        writeConfusion trained
        let label = StageResume.label trained.Plan trained.Network.Spec
        StageResume.describe trained.Plan trained.Network.Spec trained.Configuration trained.State.Changes true

        { Name =
            match trained.Plan.Folder with
            | Some folder -> DirectoryInfo(folder.Path).Name
            | None -> label
          Label = label
          Arguments = trained.Plan.Arguments
          Configuration = RunConfiguration.rows { trained.Configuration with Changes = trained.State.Changes }
          Epochs = trained.History
          Finished = true }

    /// <summary>Finishes a run as <c>finish</c> does, and packs its network for deployment. Only networks with binary weights can be packed.</summary>
    /// <remarks>Throws TrainingException if a value of the network cannot be packed.</remarks>
    let pack (trained: Trained<BinaryWeights>) : PackedRun =
        use trained = trained
        let training = Packing.describe (Names.stageOf trained.Network.Spec) trained.History
        let packed = Packing.pack (ImageTask.Of trained.Plan.Dataset) training trained.Network
        { Packed = packed; Log = finish trained }
