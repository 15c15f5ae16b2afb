namespace NormFree.Cli

open System
open System.IO
open Argu
open NormFree.Data
open NormFree.Distributed
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training

/// <summary>Data sets from the command line.</summary>
[<RequireQualifiedAccess>]
module internal Images =

    /// Opens the data set, or stops with everything that is wrong with it.
    let load kind path options =
        if kind = DatasetKind.Synthetic && Option.isSome path then
            raise (
                UsageException
                    "--data is not for --dataset drawn, which needs no files: name the data set by --dataset."
            )

        match Catalogue.load kind path options with
        | Ok dataset -> dataset
        | Error errors -> raise (DataException(errors |> List.map string |> String.concat "\n"))

/// <summary><c>normfree train</c>.</summary>
[<RequireQualifiedAccess>]
module TrainCommand =

    let private parser = ArgumentParser.Create<TrainArgs>(programName = "normfree train")

    let private dataset (args: ParseResults<TrainArgs>) =
        let options =
            { Catalogue.defaults with
                Size = args.TryGetResult TrainArgs.Size |> Option.map (Choices.side "--size")
                Limit = args.TryGetResult TrainArgs.Limit |> Option.map (Choices.count "--limit")
                TestLimit = args.TryGetResult TrainArgs.Test_Limit |> Option.map (Choices.count "--test-limit")
                Lighting =
                    match (Choices.recipe (args.GetResult(TrainArgs.Recipe, "corrected"))).Deviations.Lighting with
                    | Rule.Published -> LightingMode.Published
                    | Rule.Corrected -> LightingMode.Corrected }

        Images.load
            (Choices.dataset (args.GetResult(TrainArgs.Dataset, "drawn")))
            (args.TryGetResult TrainArgs.Data)
            options

    /// The stem that suits the image size, where none is asked for.
    let internal stem (word: string option) size =
        match word with
        | Some word -> Choices.stem word
        | None -> if size <= 64 then CifarStem else ImageNetStem

    /// <summary>The network, or an error where one of the given words is for binary networks only and this is none.</summary>
    let internal requireBinary (given: (string * bool) list) (net: NetSpec) =
        match List.tryFind snd given, Net.binaryBody net with
        | Some(name, _), None ->
            raise (UsageException $"{name} is not for {net.Name}, which is a full-precision network: leave it away.")
        | _ -> net

    let private network (args: ParseResults<TrainArgs>) (dataset: Dataset) =
        let size =
            { Width = Choices.factor "--width" (args.GetResult(TrainArgs.Width, 1.0))
              Depth = Choices.factor "--depth" (args.GetResult(TrainArgs.Depth, 1.0)) }

        let table = Choices.architecture (args.GetResult(TrainArgs.Arch, "reactnet-small"))

        table size (stem (args.TryGetResult TrainArgs.Stem) dataset.Size)
        |> Net.withClasses dataset.Classes.Length
        |> requireBinary [ "--norm", args.Contains TrainArgs.Norm; "--binarise", args.Contains TrainArgs.Binarise ]
        |> Net.withNorm (Choices.norm (args.GetResult(TrainArgs.Norm, "bn-free")))

    let private valid recipe =
        match Recipe.validate recipe with
        | Ok recipe -> recipe
        | Error problems -> raise (UsageException(String.concat "\n" problems))

    /// The recipes of stage 1, which adds the weight decay, and of stage 2.
    let private recipes (args: ParseResults<TrainArgs>) =
        let loss = Choices.loss (args.TryGetResult TrainArgs.Teacher) (args.GetResult(TrainArgs.Loss, "ce"))

        // Who asks for the published recipe gets its budget, too; otherwise the defaults suit a first try.
        let basis =
            match Choices.recipe (args.GetResult(TrainArgs.Recipe, "corrected")) with
            | published when published = Recipe.published -> published
            | corrected -> { corrected with Epochs = 5; Batch = 64; LearningRate = 1e-3 }

        let second =
            { basis with
                Epochs = args.GetResult(TrainArgs.Epochs, basis.Epochs)
                Batch = args.GetResult(TrainArgs.Batch, basis.Batch)
                LearningRate = args.GetResult(TrainArgs.Lr, basis.LearningRate)
                Optimiser = Choices.optimiser (args.GetResult(TrainArgs.Optimizer, "adam"))
                Schedule = Choices.schedule (args.GetResult(TrainArgs.Schedule, "linear"))
                WarmUp = args.GetResult(TrainArgs.Warm_Up, 0)
                Clip = Choices.clip (args.GetResult(TrainArgs.Clip, "agc"))
                Initialisation = args.TryGetResult TrainArgs.Start |> Option.map Choices.start |> Option.defaultValue basis.Initialisation
                Loss = loss
                HeldOut = args.GetResult(TrainArgs.Held_Out, 0.0)
                Seed = args.GetResult(TrainArgs.Seed, 1L) }

        valid { second with WeightDecay = args.GetResult(TrainArgs.Weight_Decay, 1e-5) }, valid second

    /// From the arguments, or else from those that the run was begun with: how the work is done decides how sums are rounded.
    let private runOptions (args: ParseResults<TrainArgs>) (began: ParseResults<TrainArgs>) =
        let either (get: ParseResults<TrainArgs> -> 'a option) = get args |> Option.orElse (get began)

        either _.TryGetResult(TrainArgs.Threads)
        |> Option.iter (Choices.threads "--threads" >> TorchSharp.torch.set_num_threads)

        let device = Choices.device (either _.TryGetResult(TrainArgs.Device) |> Option.defaultValue "cpu")
        device.Require()

        { RunOptions.Default with
            Device = device
            Execution =
                Choices.execution
                    device
                    (either _.TryGetResult(TrainArgs.Engine))
                    (either _.TryGetResult(TrainArgs.Precision))
            Workers =
                either _.TryGetResult(TrainArgs.Workers)
                |> Option.map (Choices.threads "--workers")
                |> Option.defaultValue RunOptions.Default.Workers
            Strict = args.Contains TrainArgs.Strict || began.Contains TrainArgs.Strict
            CheckpointPolicy =
                { Checkpoints =
                    either _.TryGetResult(TrainArgs.Keep)
                    |> Option.map (Choices.count "--keep")
                    |> Option.defaultValue CheckpointPolicy.Default.Checkpoints
                  Every =
                    either _.TryGetResult(TrainArgs.Checkpoint_Every)
                    |> Option.map (Choices.minutes "--checkpoint-every")
                    |> Option.defaultValue CheckpointPolicy.Default.Every }
            OnNonFinite =
                either _.TryGetResult(TrainArgs.On_Nonfinite) |> Option.defaultValue "stop" |> Choices.onNonFinite
            Telemetry =
                either _.TryGetResult(TrainArgs.Telemetry)
                |> Option.map Choices.telemetry
                |> Option.defaultValue Sampling.Default
            Accumulate =
                either _.TryGetResult(TrainArgs.Accumulate) |> Option.defaultValue 1 |> Choices.count "--accumulate" }

    let private stages (args: ParseResults<TrainArgs>) (first, second) net (plan: Plan) : RunLog =
        let init = args.TryGetResult TrainArgs.Init

        let binarise =
            match args.TryGetResult TrainArgs.Binarise, Net.binaryBody net with
            | Some word, _ -> Choices.binarise word
            | None, Some _ -> ActivationsAndWeights
            | None, None -> Activations

        match binarise, init with
        | Activations, _ -> plan |> Pipeline.trainFrom init first net |> Pipeline.finish
        | ActivationsAndWeights, Some _ -> plan |> Pipeline.trainBinaryFrom init second net |> Pipeline.finish
        | ActivationsAndWeights, None ->
            plan |> Pipeline.train first net |> Pipeline.binariseWeights second |> Pipeline.finish

    let private result (folder: RunFolder) (run: RunLog) =
        Show.table
            [ "stage"; "epochs"; "last top-1"; "last top-5"; "best epoch"; "its top-1" ]
            [ for stage, records, best in run.Stages do
                  let last = List.last records

                  [ stage
                    string records.Length
                    Show.percent last.Test.Top1
                    Show.percent last.Test.Top5
                    string best.Epoch
                    Show.percent best.Test.Top1 ] ]

        Console.WriteLine $"Checkpoints and log: {folder.Path}"

    /// A resumed run takes its settings from its folder; only how the work is done may be given anew, and where the teacher is.
    let private resumed (args: ParseResults<TrainArgs>) folder =
        let allowed argument =
            match argument with
            | TrainArgs.Resume
            | TrainArgs.Out _
            | TrainArgs.Teacher _
            | TrainArgs.Engine _
            | TrainArgs.Precision _
            | TrainArgs.Device _
            | TrainArgs.Threads _
            | TrainArgs.Workers _
            | TrainArgs.Keep _
            | TrainArgs.Checkpoint_Every _
            | TrainArgs.On_Nonfinite _
            | TrainArgs.Accumulate _
            | TrainArgs.Rank_Timeout _
            | TrainArgs.Json_Log
            | TrainArgs.Strict -> true
            | _ -> false

        match args.GetAllResults() |> List.filter (allowed >> not) with
        | [] ->
            let began = (RunFolder.readDescription folder).Arguments

            if began.IsEmpty then
                raise (UsageException $"{folder.Path} was made by a script: run the script again, and it goes on.")

            let again = parser.ParseCommandLine(List.toArray began)
            again, began
        | others ->
            let names = parser.PrintCommandLineArgumentsFlat others
            raise (UsageException $"a resumed run keeps its settings: leave away {names}.")

    /// The folder that the run is kept in, and the arguments that define it.
    let private settings (args: ParseResults<TrainArgs>) (given: string list) =
        let net = args.GetResult(TrainArgs.Arch, "reactnet-small")
        let norm = args.GetResult(TrainArgs.Norm, "bn-free").Replace(':', '-')
        let path = args.GetResult(TrainArgs.Out, Path.Combine("runs", $"{net}-{norm}"))
        let folder = { Path = path }

        if args.Contains TrainArgs.Resume then
            let again, began = resumed args folder
            folder, again, began
        elif RunFolder.holdsRun folder then
            raise (
                UsageException
                    $"{path} holds a run already: go on with it by --resume, or choose another folder by --out."
            )
        else
            folder, args, given

    /// The recipes that the run in a folder was begun with, as far as its checkpoints tell: what a word such as corrected stands for grows with versions.
    /// A teacher is where the newest stage has found it.
    let private begunWith folder (first: Recipe, second: Recipe) =
        match Checkpoint.recipeOfRun folder 1, Checkpoint.recipeOfRun folder 2 with
        | Some one, Some two -> { one with Loss = two.Loss }, two
        | Some one, None -> one, { one with WeightDecay = second.WeightDecay }
        | None, Some two -> { two with WeightDecay = first.WeightDecay }, two
        | None, None -> first, second

    /// The recipe with a teacher that has moved.
    let private taughtFrom path (recipe: Recipe) =
        match path, recipe.Loss with
        | None, _ -> recipe
        | Some path, Distillation _ -> { recipe with Loss = Distillation path }
        | Some path, _ -> raise (UsageException $"the run has no teacher: leave away --teacher {path}.")

    /// The recipes of a run that is gone on with.
    let private resumedRecipes (args: ParseResults<TrainArgs>) folder asked =
        let first, second = begunWith folder asked
        let teacher = args.TryGetResult TrainArgs.Teacher
        taughtFrom teacher first, taughtFrom teacher second

    /// mpirun's habit takes the checkpoint of an interruption away.
    let private warnOfImpatience watch =
        if Launcher.KillsRanksEarly then
            watch (
                Warning
                    "mpirun kills ranks a second after Ctrl-C or SIGTERM, which may be before the step is kept: give it \
                     --mca odls_base_sigkill_timeout 10."
            )

    let private train (given: string list) (args: ParseResults<TrainArgs>) (ranks: IRanks) =
        let folder, settings, began = settings args given
        let asked = recipes settings

        let recipes =
            if args.Contains TrainArgs.Resume then
                resumedRecipes args folder asked
            else
                asked

        let runOptions = runOptions args settings
        let dataset = dataset settings
        let net = network settings dataset

        let finished =
            Outcome.untilInterrupted
                $"All steps are kept; go on with: normfree train --resume --out {folder.Path}"
                (fun cancellation ->
                    Show.progress ranks (args.Contains TrainArgs.Json_Log) (fun watch ->
                        warnOfImpatience watch

                        { Pipeline.from dataset with
                            Folder = Some folder
                            Label = settings.GetResult(TrainArgs.Norm, "")
                            Arguments = began
                            Options = { runOptions with Watch = watch; Cancellation = cancellation; Ranks = ranks } }
                        |> stages settings recipes net))

        if ranks.Rank = 0 && not (args.Contains TrainArgs.Json_Log) then
            result folder finished

    /// <summary>Runs the command. <c>given</c> are its arguments as typed, kept for <c>--resume</c>.</summary>
    let run (given: string list) (args: ParseResults<TrainArgs>) =
        let patience =
            args.TryGetResult TrainArgs.Rank_Timeout |> Option.map (Choices.patience "--rank-timeout")

        Job.run patience (train given args)
