namespace NormFree.Cli

open System
open System.Threading
open NormFree.Data
open NormFree.Distributed
open NormFree.Formats
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training

/// <summary><c>normfree eval</c>.</summary>
[<RequireQualifiedAccess>]
module internal EvalCommand =

    /// A network that was imported without class names has as many outputs as the data set has classes, and is taken to have these. The accuracy on
    /// other classes would mean nothing. Returns what is assumed, if anything is.
    let matchClasses (path: string) (task: ImageTask) (dataset: Dataset) : string option =
        if task.Classes = dataset.Classes then
            None
        elif ImportedNetwork.canHave dataset.Classes task.Dataset task.Classes then
            Some
                $"{path} was imported without class names: its {task.Classes.Length} outputs are taken as the classes of {dataset.Name} in \
                  their order ({dataset.Classes[0]}, …)"
        else
            raise (
                TrainingException
                    $"{path} was trained on {Quoted.Name task.Dataset} with {task.Classes.Length} classes ({Quoted.Name task.Classes[0]}, …); \
                      {dataset.Name} has {dataset.Classes.Length} ({Quoted.Name dataset.Classes[0]}, …). Give the data set that it was trained on."
            )

    /// Prints images that cannot be read.
    let skipped event =
        match event with
        | ImageSkipped image -> Output.error $"skipped: {image.Name}: {image.Reason}"
        | _ -> ()

    /// Without top-5 if that is always 1.
    let private json hasTop5 (accuracy: Accuracy) =
        if hasTop5 then
            Json.write accuracy
        else
            Json.write {| Loss = accuracy.Loss; Top1 = accuracy.Top1; Images = accuracy.Images |}

    let private print (args: Arguments) (dataset: Dataset) (accuracy: Accuracy, classes, pairs) =
        let hasTop5 = dataset.Classes.Length > 5

        if args.Has Options.Files.json then
            Output.json (json hasTop5 accuracy)
        else
            Show.table
                [ "data set"
                  "images"
                  "loss"
                  "top-1"
                  if hasTop5 then
                      "top-5" ]
                [ [ dataset.Name
                    string accuracy.Images
                    $"{accuracy.Loss:F4}"
                    Show.percent accuracy.Top1
                    if hasTop5 then
                        Show.percent accuracy.Top5 ] ]

            ClassTable.print classes pairs

    let private eval (args: Arguments) cancellation (ranks: IRanks) =
        NetworkOptions.useThreads (args.TryGet Options.Execution.threads)
        let given, engine = args.Get Options.Files.checkpoint, args.TryGet Options.Execution.computeEngine
        let path = ZooFile.forEngine engine given
        NetworkFile.require path
        use network = LoadedNetwork.load engine path

        let options =
            { Images.withoutTraining (Images.options args) with
                Size = Some network.ImageTask.Size
                TestLimit = args.TryGet Options.Data.testLimit }

        let dataset = Images.load (args.Get Options.Data.dataset) (args.TryGet Options.Data.dataPath) options

        match matchClasses given network.ImageTask dataset with
        | Some assumption when ranks.Rank = 0 && not (args.Has Options.Files.json) -> Output.prose assumption
        | _ -> ()

        if ranks.Rank = 0 then
            Images.warn dataset

        let runOptions =
            { RunOptions.Default with
                Strict = args.Has Options.Data.strict
                OnEvent = (if ranks.Rank = 0 then skipped else ignore)
                Ranks = ranks
                Cancellation = cancellation }

        let results = ConfusionMatrix.ofLoaded runOptions (args.Get Options.Recipe.batch) network dataset.Test

        if ranks.Rank = 0 then
            print args dataset results

    /// <summary>Runs the command; ranks share the images.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) = Job.run None (eval args cancellation)
