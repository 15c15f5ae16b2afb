namespace NormFree.Training

open System
open System.IO
open NormFree.Data
open NormFree.Formats
open NormFree.Inference.Files
open NormFree.Kernels.Simd
open NormFree.Spec
open TorchSharp

/// <summary>Marks a network whose weights are real: what stage 1 gives.</summary>
[<AbstractClass; Sealed>]
type RealWeights = class end

/// <summary>Marks a network whose weights are binary: what stage 2 gives.</summary>
[<AbstractClass; Sealed>]
type BinaryWeights = class end

/// <summary>Images, and where and how the work on them is done.</summary>
type Plan =
    { Dataset: Dataset
      Folder: RunFolder option
      Label: string
      Arguments: string list
      Around: Surroundings }

/// <summary>A network after a stage; its type says whether its weights are binary.</summary>
/// <remarks>Dispose it, or hand it to the next stage, which does.</remarks>
type Trained<'weights> =
    {
        Plan: Plan
        Network: Network
        /// Stages so far.
        Stages: int
        Configuration: (string * string) list
        /// Where the training stands: at the end of its last stage.
        State: TrainingState
    }

    /// <summary>The recipe of the last stage.</summary>
    member t.Recipe = t.State.Recipe

    /// <summary>The epochs of all stages.</summary>
    member t.History = t.State.History

    interface IDisposable with
        member t.Dispose() = (t.Network :> IDisposable).Dispose()

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
        { Dataset = dataset; Folder = None; Label = ""; Arguments = []; Around = Surroundings.Default }

    /// <summary>Keeps checkpoints and the log in this folder.</summary>
    let into path (plan: Plan) = { plan with Folder = Some(RunFolder.at path) }

    /// <summary>What tells this run from its neighbours in a comparison; the norm's name if nothing is said.</summary>
    let labelled label (plan: Plan) = { plan with Label = label }

    /// <summary>Looks inside the binary layers so often, where the run has a folder; <c>EverySteps 50</c> if nothing is said.</summary>
    let telemetry sampling (plan: Plan) = { plan with Around = { plan.Around with Telemetry = sampling } }

    /// <summary>Calls a function at every event of the training.</summary>
    let watchedBy watch (plan: Plan) = { plan with Around = { plan.Around with Watch = watch } }

    let private require result =
        match result with
        | Ok value -> value
        | Error problems -> raise (TrainingException(problems |> List.map string |> String.concat "\n"))

    let private label (plan: Plan) net =
        match plan.Label, Net.binaryBody net with
        | "", Some body -> Words.norm body.Norm
        | "", None -> net.Name
        | label, _ -> label

    /// Why a teacher's answers would mean something else on these images: it sees them as the student does, with the student's labels.
    let private mismatch (plan: Plan) (teacher: Task) =
        let dataset = plan.Dataset

        if teacher.Classes.Length <> dataset.Classes.Length then
            Some $"it knows {teacher.Classes.Length} classes, the data set has {dataset.Classes.Length}"
        elif teacher.Classes <> dataset.Classes then
            Some "its classes have other names, or another order"
        elif teacher.Size <> dataset.Size then
            Some $"it takes images of {teacher.Size}×{teacher.Size} pixels, not {dataset.Size}×{dataset.Size}"
        elif teacher.Normalisation <> dataset.Normalisation then
            Some "its images are normalised otherwise"
        else
            None

    /// A network where and as the surroundings say. What cannot be as they say is computed as it can be.
    let private placed (plan: Plan) network =
        network |> Network.on plan.Around.Device |> Network.running plan.Around.Execution

    /// Loads the teacher that the recipe names.
    let private teacher (plan: Plan) (recipe: Recipe) =
        match recipe.Loss with
        | Distillation path ->
            let checkpoint = Checkpoint.load torch.ScalarType.Float32 path

            match mismatch plan checkpoint.Task with
            | None -> Some { checkpoint with Network = placed plan checkpoint.Network }
            | Some what ->
                (checkpoint :> IDisposable).Dispose()

                raise (
                    TrainingException
                        $"The teacher {path} does not fit the data set {plan.Dataset.Name}: {what}. Train it on this data set."
                )
        | CrossEntropy
        | LabelSmoothing _ -> None

    let private imagesUsed (dataset: Dataset) =
        { Train = ImageSource.fingerprint dataset.Train
          Test = ImageSource.fingerprint dataset.Test
          Augmentation = dataset.Augmentation.Train }

    /// The state in which a stage begins here and now.
    let private stateHere (plan: Plan) (network: Network) recipe history changes : TrainingState =
        { Recipe = recipe
          Stage = Stage.name network.Spec
          History = history
          Position = Position.startOf 0
          Images = Some(imagesUsed plan.Dataset)
          Threads = torch.get_num_threads ()
          Execution = Some network.Execution
          Machine = Some Machine.arithmetic.Value
          Division = Some plan.Around.Division
          Changes = changes }

    /// Files of version 1 know of their images only how many there were.
    let private ofOtherImages (plan: Plan) recipe (here: TrainingState) (found: TrainingState) =
        let count = lazy (fst (Stage.split recipe plan.Dataset)).Count

        match found.Images with
        | Some _ -> found.Images <> here.Images
        | None ->
            found.History
            |> List.exists (fun r -> r.Stage = found.Stage && r.Train.Images + r.Unreadable <> count.Value)

    /// What of a checkpoint is not as this stage has it, in words.
    let private otherSettings (plan: Plan) (network: Network) (here: TrainingState) spec task (found: TrainingState) =
        [ if spec <> network.Spec then
              "network"
          if found.Recipe <> here.Recipe then
              "recipe"
          if task <> Stage.task plan.Dataset then
              "data set"
          elif ofOtherImages plan here.Recipe here found then
              "images or augmentation" ]

    let private refuseOthers plan network here path spec task found =
        match otherSettings plan network here spec task found with
        | [] -> ()
        | others ->
            let what = String.concat ", " others

            raise (
                TrainingException
                    $"{path} is of another network, recipe or data set (not the same: {what}). Go on with the settings that it was begun with, \
                      or choose another folder."
            )

    /// Puts a stage where the newest of its checkpoints that can be read has it; nothing where it has none.
    let private resume (plan: Plan) number (network: Network) (optimisation: Optimisation) (here: TrainingState) =
        let unreadable (error: exn) path older =
            match older with
            | [] ->
                TrainingException
                    $"{error.Message} No earlier checkpoint of the stage can be read either: begin the run anew in another folder."
                |> raise
            | (_, next: string) :: _ ->
                plan.Around.Watch(Warning $"{error.Message} Going on from the one before it, {next}.")

        let rec from files =
            match files with
            | [] -> None
            | (_, path) :: older ->
                let found =
                    try
                        Ok(Checkpoint.goOn path (refuseOthers plan network here path) network optimisation)
                    with
                    | :? InvalidFileException as error -> Error(error :> exn)
                    | :? IOException as error -> Error error

                match found with
                | Ok state -> Some(path, state)
                | Error error ->
                    unreadable error path older
                    from older

        plan.Folder |> Option.bind (fun folder -> from (RunFolder.checkpoints folder number))

    /// Tells that a stage goes on with other arithmetic, and notes it for the run's description; one that is done has nothing to compute.
    let private noteArithmetic (plan: Plan) (here: TrainingState) path (found: TrainingState) =
        if found.Position.Epoch >= found.Recipe.Epochs || here.RoundsAs found then
            found
        else
            let words (state: TrainingState) =
                let machine = state.Machine |> Option.map (fun m -> $", {m}") |> Option.defaultValue ""
                state.Arithmetic + machine

            plan.Around.Watch(
                Warning $"{path} was made with {words found}; this run has {words here}: sums are rounded otherwise."
            )

            let change =
                $"{found.Stage}, behind {Position.words found.Position}: {words here} instead of {words found}"

            { found with Changes = found.Changes @ [ change ] }

    /// The folder, for the one rank that writes to it.
    let private written (plan: Plan) = if plan.Around.Ranks.Rank = 0 then plan.Folder else None

    let private describe (plan: Plan) net configuration changes finished =
        match written plan with
        | None -> ()
        | Some folder ->
            RunFolder.describe
                folder
                { Label = label plan net
                  Arguments = plan.Arguments
                  Configuration = configuration @ Configuration.changes changes
                  Finished = finished }

    let private requireKeepable (plan: Plan) =
        match plan.Around.Telemetry with
        | EverySteps every when every < 1 ->
            raise (TrainingException $"Telemetry looks inside the layers every 1 step or more, not every {every}.")
        | _ -> ()

        if plan.Around.Keeping.Checkpoints < 1 then
            raise (
                TrainingException
                    $"A run keeps at least 1 checkpoint of a stage, not {plan.Around.Keeping.Checkpoints}."
            )

        if plan.Around.OnNonFinite = Rollback && plan.Folder.IsNone then
            raise (
                TrainingException
                    "To go back to a checkpoint, a run needs a folder that it is kept in: choose one, or stop or skip."
            )

    /// The state in which a stage goes on, or begins as `begin'` leaves the network.
    let private startOf (plan: Plan) number network optimisation (here: TrainingState) (begin': Network -> unit) =
        match resume plan number network optimisation here with
        | None ->
            begin' network
            here
        | Some(path, found) ->
            let found = noteArithmetic plan here path found
            plan.Around.Watch(Resumed(found.Stage, found.Position.Epoch, found.Position.Step))
            written plan |> Option.iter (fun folder -> RunFolder.mendLog folder found.History)

            { found with
                Images = here.Images
                Threads = here.Threads
                Execution = here.Execution
                Machine = here.Machine
                Division = here.Division }

    let private runOn (plan: Plan) number (teacher: Checkpoint option) (network: Network) optimisation state =
        let stage =
            { Number = number
              Network = network
              Optimisation = optimisation
              Task = Stage.task plan.Dataset
              Begin = state }

        let job =
            { Name = state.Stage
              Number = number
              Recipe = state.Recipe
              Dataset = plan.Dataset
              Teacher = teacher |> Option.map (fun t images -> t.Network.Forward(images, Evaluate)) }

        let keeper = Keeper(plan.Folder, plan.Around, stage)
        Stage.run plan.Around job network optimisation keeper state.Position
        keeper.History

    /// Ranks take the same steps from the same place, or none.
    let private requireSameStart (plan: Plan) (network: Network) (optimisation: Optimisation) (state: TrainingState) =
        let json (value: 'a) () = Json.write value

        Together.requireSame
            plan.Around.Ranks
            "Give all ranks the same command, images and run folder (one that all nodes share), and nodes of one kind."
            [ "network", json network.Spec
              "recipe", json state.Recipe
              "images", json state.Images
              "place in the training", json (state.Position.Epoch, state.Position.SoFar, state.Position.Step)
              "weights", (fun () -> Fingerprint.ofTensors (network.Tensors @ optimisation.State))
              "way of dividing batches", json state.Division
              "engine or precision", json state.Execution
              "number of threads", json state.Threads
              "instruction set", (fun () -> string InstructionSets.Best) ]

    /// Runs one stage, or what is left of it, on a network that starts as `begin'` leaves it.
    let private runStage
        (plan: Plan)
        number
        configuration
        (recipe: Recipe)
        net
        history
        changes
        (begin': Network -> unit)
        =
        requireKeepable plan

        let network =
            Network.create torch.ScalarType.Float32 recipe.Deviations.BinaryStart recipe.Seed net |> placed plan

        try
            use optimisation = new Optimisation(recipe, network)
            let teacher = teacher plan recipe

            use _ =
                { new IDisposable with
                    member _.Dispose() = teacher |> Option.iter (fun t -> (t :> IDisposable).Dispose()) }

            use _ = written plan |> Option.map RunLock.Take |> Option.toObj
            let here = stateHere plan network recipe history changes
            let state = startOf plan number network optimisation here begin'
            requireSameStart plan network optimisation state

            // From here on the folder holds a run, so whatever can be refused must have been, and all ranks have read what was in it.
            describe plan net configuration state.Changes false
            let history = runOn plan number teacher network optimisation state

            { Plan = plan
              Network = network
              Stages = number
              Configuration = configuration
              State = { state with History = history; Position = Position.startOf recipe.Epochs } }
        with _ ->
            (network :> IDisposable).Dispose()
            reraise ()

    /// Whether the network normalises maps of a single pixel somewhere.
    let private normalisesPixels size net =
        match Shapes.infer (Lowering.lower net) { C = 3; H = size; W = size } with
        | Error _ -> false
        | Ok(operations, _) ->
            operations
            |> List.exists (fun (op, shape, _) ->
                match op with
                | Normalise _ -> shape.H * shape.W = 1
                | _ -> false)

    let private requireDivision (plan: Plan) =
        if plan.Around.Accumulate < 1 then
            raise (
                TrainingException $"A batch is computed in at least 1 part, not {plan.Around.Accumulate}: mend --accumulate."
            )

        if plan.Around.Ranks.Size > 1 && plan.Around.Device <> Cpu then
            raise (
                TrainingException
                    $"{plan.Around.Ranks.Size} ranks add up gradients in the processor's memory: choose device cpu, or a single process."
            )

    /// Batch norm divides by one less than the number of values: of a single one it makes NaN.
    let private requireStatistics (plan: Plan) (recipe: Recipe) net =
        let images = (fst (Stage.split recipe plan.Dataset)).Count
        let parts = plan.Around.Division.Parts
        let last = (images - 1) % recipe.Batch + 1
        let single = [ min recipe.Batch images; last ] |> List.exists (fun batch -> batch < 2 * parts)

        if single && normalisesPixels plan.Dataset.Size net then
            let divided = if parts = 1 then "" else $", each divided into {parts} parts,"

            raise (
                TrainingException
                    $"{images} images in batches of {recipe.Batch}{divided} leave a batch of one image, and batch norm has no statistics of the \
                      1×1 maps that {net.Name} makes of it. Choose another batch, another number of images, or larger images."
            )

    /// Batch norm ties the images of a batch together, so that a divided batch is another one.
    let private tellOfStatistics (plan: Plan) net =
        let division = plan.Around.Division

        if division.Parts > 1 && not (Parameters.normsOf (Lowering.lower net)).IsEmpty then
            let parts = String.concat ", " division.Words

            plan.Around.Watch(
                Warning
                    $"batch norm normalises each part of a divided batch ({parts}) by the part's own statistics, so that this training is another one \
                      than that of whole batches. Running statistics are the mean over the ranks, weighted by images. Networks without batch norm \
                      compute the same step however batches are divided."
            )

    let private prepared (plan: Plan) recipe net =
        let recipe = require (Recipe.validate recipe)
        let net = Recipe.applyTo net recipe
        let fits = Validation.fits plan.Dataset.Size plan.Dataset.Size net |> Result.mapError (List.map string)
        let net = require fits

        if net.Classes <> plan.Dataset.Classes.Length then
            raise (
                TrainingException
                    $"{net.Name} tells {net.Classes} classes apart, the data set {plan.Dataset.Name} has {plan.Dataset.Classes.Length}."
            )

        requireDivision plan
        requireStatistics plan recipe net
        recipe, net

    /// What a run starts with, for people.
    let private beginning (plan: Plan) (init: string option) net =
        let around = plan.Around
        around.Device.Require()

        let execution =
            around.Execution.On(around.Device.Type, torch.ScalarType.Float32)
            |> Result.mapError List.singleton
            |> require

        if execution <> around.Execution then
            around.Watch(
                Warning
                    $"on {Json.words around.Device} the {Json.words execution.Engine} engine computes: the {Json.words around.Execution.Engine} one is for the CPU."
            )

        tellOfStatistics plan net

        Configuration.describe around.Device execution around.Division net plan.Dataset
        @ [ "starts from", init |> Option.defaultValue "fresh weights" ]

    /// The variances that were measured when the run was begun, where it has a checkpoint of the same network otherwise.
    let private measuredBefore (plan: Plan) net =
        let fromFile (_, path) =
            try
                let found = Checkpoint.readSpec path
                let variance = (Net.binaryBody found |> Option.get).ExpectedVariance
                if Net.withExpectedVariance variance net = found then Some found else None
            with
            | :? InvalidFileException
            | :? IOException -> None

        plan.Folder |> Option.bind (fun folder -> RunFolder.checkpoints folder 1 |> List.tryPick fromFile)

    /// The network as the start makes it of the first images, and what gives it its first shifts.
    let private measured (plan: Plan) recipe net =
        match measuredBefore plan net with
        | Some net -> net, ignore
        | None ->
            let train, _ = Stage.split recipe plan.Dataset
            let start = DataStart.measure plan.Around (Stage.task plan.Dataset) recipe train net

            start.Net,
            fun network ->
                DataStart.apply start network
                (start :> IDisposable).Dispose()

    /// <summary>Stage 1: trains a network with real weights, from its start or from a checkpoint of the same tensors.</summary>
    let trainFrom (init: string option) recipe net (plan: Plan) : Trained<RealWeights> =
        let recipe, net = prepared plan recipe (Net.withBinarise Activations net)

        let net, begin' =
            match init, recipe.Start with
            | Some path, _ -> net, Checkpoint.start path
            | None, Start.DataDependent when DataStart.concerns net -> measured plan recipe net
            | None, _ -> net, ignore

        let configuration = beginning plan init net @ Configuration.recipe (Stage.name net) recipe
        runStage plan 1 configuration recipe net [] [] begin'

    /// <summary>Stage 1: trains a network with real weights from its start.</summary>
    /// <remarks>Throws TrainingException where the network does not fit the images or the recipe is invalid, naming every problem.</remarks>
    let train recipe net plan = trainFrom None recipe net plan

    let private secondStage
        (plan: Plan)
        number
        configuration
        recipe
        net
        history
        changes
        begin'
        : Trained<BinaryWeights> =
        let recipe, net = prepared plan recipe (Net.withBinarise ActivationsAndWeights net)
        let configuration = configuration @ Configuration.recipe (Stage.name net) recipe
        runStage plan number configuration recipe net history changes begin'

    let private requireBinary (net: NetSpec) =
        if (Net.binaryBody net).IsNone then
            raise (TrainingException $"{net.Name} is a full-precision network: it has no binary weights to train.")

    /// Otherwise the best epoch would be chosen on images that stage 1 has trained on.
    let private requireSameHoldOut (first: Recipe) (second: Recipe) =
        if second.HeldOut > 0.0 && (first.HeldOut, first.Seed) <> (second.HeldOut, second.Seed) then
            raise (
                TrainingException
                    $"Stage 2 holds out {second.HeldOut} of the images with seed {second.Seed}, stage 1 {first.HeldOut} with seed {first.Seed}: \
                      give both stages the same share and seed, so that stage 2 is not judged by images of stage 1's training."
            )

    /// <summary>Stage 2: binarises the weights, starting from those of stage 1, and goes on training.</summary>
    let binariseWeights recipe (trained: Trained<RealWeights>) : Trained<BinaryWeights> =
        use trained = trained
        requireBinary trained.Network.Spec
        requireSameHoldOut trained.Recipe recipe

        secondStage
            trained.Plan
            (trained.Stages + 1)
            trained.Configuration
            recipe
            trained.Network.Spec
            trained.History
            trained.State.Changes
            (fun network ->
                let values = dict trained.Network.Tensors
                network |> Network.fill (fun name -> values[name]))

    /// <summary>Stage 2 from a checkpoint of stage 1, or from the start of a network where none is given.</summary>
    let trainBinaryFrom (init: string option) recipe net (plan: Plan) : Trained<BinaryWeights> =
        requireBinary net
        let configuration = beginning plan init net

        secondStage plan 2 configuration recipe net [] [] (fun network ->
            init |> Option.iter (fun path -> Checkpoint.start path network))

    /// <summary>Writes the network's weights to a file that <c>normfree</c> reads.</summary>
    let save path (trained: Trained<'weights>) =
        Checkpoint.save
            path
            None
            { Network = trained.Network; Task = Stage.task trained.Plan.Dataset; State = trained.State }

        trained

    /// Reports get nothing but the folder.
    let private keepConfusion (trained: Trained<'weights>) =
        let plan = trained.Plan

        match written plan with
        | Some folder when File.Exists(folder.Best trained.Stages) ->
            ConfusionFile.keep plan.Around (placed plan) trained.Recipe.Batch plan.Dataset.Test folder trained.Stages
        | _ -> ()

    /// <summary>Ends a run: its folder says that it is finished and holds what its best network takes for what, and its log is a value for
    /// reports. The network is freed.</summary>
    let finish (trained: Trained<'weights>) : RunLog =
        use trained = trained
        keepConfusion trained
        let label = label trained.Plan trained.Network.Spec
        describe trained.Plan trained.Network.Spec trained.Configuration trained.State.Changes true

        { Name =
            match trained.Plan.Folder with
            | Some folder -> DirectoryInfo(folder.Path).Name
            | None -> label
          Label = label
          Arguments = trained.Plan.Arguments
          Configuration = trained.Configuration @ Configuration.changes trained.State.Changes
          Epochs = trained.History
          Finished = true }

    /// <summary>Ends a run as <c>finish</c> does, with its network as it is deployed. Real weights have no such form: packing them does not compile.</summary>
    /// <remarks>Throws TrainingException where one of the network's numbers cannot be packed.</remarks>
    let pack (trained: Trained<BinaryWeights>) : PackedRun =
        use trained = trained
        let training = Packing.describe (Stage.name trained.Network.Spec) trained.History
        let packed = Packing.pack (Stage.task trained.Plan.Dataset) training trained.Network
        { Packed = packed; Log = finish trained }
