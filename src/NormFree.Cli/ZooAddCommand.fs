namespace NormFree.Cli

open System
open System.IO
open System.Security.Cryptography
open System.Threading
open NormFree.Benchmarks
open NormFree.Data
open NormFree.Formats
open NormFree.Interop
open NormFree.Networks
open NormFree.Packing
open NormFree.Runs
open NormFree.Spec
open NormFree.Training
open NormFree.Zoo
open TorchSharp

/// <summary><c>normfree zoo add</c>: makes an entry of the zoo from a run, in a checkout of NormFree's sources.</summary>
[<RequireQualifiedAccess>]
module internal ZooAddCommand =

    /// The data set of the run with all its test images.
    let private dataset (args: Arguments) (run: ZooRun) : Dataset =
        let configuration = run.Configuration
        let locate = Option.map (ZooRun.locate run)
        let settings = configuration.Dataset
        let kind = settings.Kind |> Option.defaultWith (fun () -> args.Get Options.Data.dataset)
        let path = args.TryGet Options.Data.dataPath |> Option.orElse (locate settings.Path)
        let moved = { settings with Path = path; ClassNames = locate settings.ClassNames; TestLimit = None }

        TrainSettings.datasetOptions { configuration with Dataset = moved }
        |> Images.withoutTraining
        |> Images.load kind path

    /// <summary>The accuracy of a packed file on all test images of a data set.</summary>
    let accuracy cancellation (path: string) (dataset: Dataset) : CardAccuracy =
        use network = LoadedNetwork.load (Some PackedEngine) path
        let runOptions = { RunOptions.Default with Strict = true; Cancellation = cancellation }

        let _, classes, _ = ConfusionMatrix.ofLoaded runOptions 64 network dataset.Test

        CardAccuracy [| for result in classes -> CardClass(result.Name, result.Images, result.Right) |]

    let private latency cancellation (net: NetSpec) pixels : CardLatency =
        let result =
            { InferenceJob.Default net with
                Image = pixels
                Threads = 1
                WarmUp = 20
                Runs = 200
                Seconds = 1.0
                Cancellation = cancellation }
            |> InferenceBench.measure (InferenceEngines.packed 1)

        let machine = result.Environment
        let load = machine.LoadAverage |> Option.map (fun load -> $", load {load}") |> Option.defaultValue ""

        CardLatency(
            result.LatencyMs.Median,
            result.LatencyMs.P95,
            1,
            result.Runs,
            $"{machine.Processor}, {machine.Instructions}, {machine.Processors} processors{load}"
        )

    let private network (run: ZooRun) (checkpoint: Checkpoint) : CardNetwork =
        let size = checkpoint.ImageTask.Size

        match Summary.create size size checkpoint.Network.Spec with
        | Error errors -> raise (TrainingException(errors |> List.map string |> String.concat "; "))
        | Ok { Net = net; Total = total } ->
            CardNetwork(ZooRun.describe run net, total.BinaryParameters, total.RealParameters, total.Ops)

    let private preprocessing (task: ImageTask) =
        let steps = task.PreprocessingOfAnySize |> List.map Augment.describe |> String.concat ", "
        let list (values: float32[]) = values |> Array.map (fun v -> $"{v:F4}") |> String.concat ", "

        $"{steps}; divide by 255, subtract the means {list task.Normalisation.Mean} and divide by the deviations {list task.Normalisation.Deviation} \
          (red, green, blue). The packed file contains it."

    let private file path =
        let bytes = File.ReadAllBytes path
        CardFile(bytes.LongLength, Convert.ToHexStringLower(SHA256.HashData bytes))

    let private pack (checkpoint: Checkpoint) path =
        let comparison = Export.packed checkpoint path

        if not comparison.Agrees then
            raise (
                TrainingException
                    $"The packed network differs from the checkpoint: {comparison.Remark}. {path} was not written."
            )

    /// Writes the checkpoint without its optimiser, or removes that of an earlier entry.
    let private keepCheckpoint isKept (path: string) checkpoint =
        if isKept then
            Checkpoint.save path None checkpoint
            file path
        else
            File.Delete path
            Unchecked.defaultof<CardFile>

    let private task (task: ImageTask) =
        let first, others =
            Array.head task.Classes, Array.tail task.Classes |> Array.truncate 2 |> String.concat ", "

        $"It classifies images of {task.Size}×{task.Size} pixels into {task.Classes.Length} classes: {first}, {others} and so on. It is a binary \
          network without batch normalisation."

    let private limits (dataset: ZooDataset) (run: ZooRun) =
        [| "It knows only these classes. Every image gets one of them, and the probabilities of images of other things mean nothing."
           yield! dataset.Limits
           match run.Configuration.Dataset.Limit with
           | Some limit -> $"It was trained on {limit:N0} images only, a part of the data set's training images."
           | None -> ()
           if not run.Log.Finished then
               "Its training has not finished." |]

    let private create (args: Arguments) cancellation name folder (run: ZooRun) (checkpoint: Checkpoint) : ModelCard =
        let facts, data = ZooDataset.ofName name, dataset args run
        EvalCommand.matchClasses run.Folder.Path checkpoint.ImageTask data |> Option.iter Output.prose
        let path kind = Path.Combine(folder, ModelZoo.FileName(name, kind))
        let packed = path ZooFileKind.Packed
        pack checkpoint packed
        let isKept = args.Has Options.Files.withCheckpoint

        ModelCard(
            Name = name,
            Task = task checkpoint.ImageTask,
            Network = network run checkpoint,
            Data =
                CardData(
                    facts.Name,
                    facts.About,
                    facts.Source,
                    facts.Licence,
                    ZooRun.trainingImages run,
                    data.Test.Count
                ),
            Preprocessing = preprocessing checkpoint.ImageTask,
            Training = ZooRun.training (args.TryGet Options.Files.trainedBy) run checkpoint.State,
            Accuracy = accuracy cancellation packed data,
            Latency = latency cancellation checkpoint.Network.Spec checkpoint.ImageTask.Size,
            Limits = limits facts run,
            Packed = file packed,
            Checkpoint = keepCheckpoint isKept (path ZooFileKind.Checkpoint) checkpoint
        )

    let private cardFile folder name = Path.Combine(folder, name + ".card.json")

    let private cards folder =
        [ for path in Directory.GetFiles(folder, "*.card.json") do
              CardJson.Read(ReadOnlySpan(File.ReadAllBytes path), path) ]

    /// The folder of the zoo's files in a checkout.
    let private networks checkout =
        let folder = Path.Combine(checkout, "src", "NormFree.Zoo", "Networks")

        if not (Directory.Exists folder) then
            raise (
                UsageException
                    $"--out {checkout} is no checkout of NormFree: it has no folder src/NormFree.Zoo/Networks."
            )

        folder

    /// A script's run says neither how it was started nor where its images are.
    let private checkScript (args: Arguments) (run: ZooRun) =
        let given = args.Has Options.Files.trainedBy && args.Has Options.Data.dataset

        if ZooRun.isOfScript run && not given then
            raise (
                UsageException
                    $"a script made the run {run.Folder.Path}: give its command line with --command, and its data set with --dataset and --data."
            )

        if args.Has Options.Files.trainedBy && not (ZooRun.isOfScript run) then
            raise (UsageException $"--command is for runs of scripts; {run.Folder.Path} contains its own command line.")

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        let name, checkout = args.Operands.Head, args.Get Options.Files.file
        ZooDataset.ofName name |> ignore
        let folder = networks checkout
        let run = ZooRun.read { Path = args.Get Options.Files.runFolder }
        checkScript args run
        use checkpoint = Checkpoint.load torch.ScalarType.Float32 (ZooRun.checkpoint run)
        let card = create args cancellation name folder run checkpoint
        let json = CardJson.Write card
        AtomicFile.Write(cardFile folder name, (fun stream -> stream.Write(ReadOnlySpan json)))
        ZooPages.write checkout card (cards folder)
        Output.line $"{name}: top-1 {100.0 * card.Accuracy.Top1():F2} %% on {card.Accuracy.Images():N0} test images"
