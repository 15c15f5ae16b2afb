namespace NormFree.Cli

open System
open Argu
open NormFree.Data
open NormFree.Distributed
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open TorchSharp

/// <summary><c>normfree eval</c>.</summary>
[<RequireQualifiedAccess>]
module EvalCommand =

    /// Other classes would be other questions.
    let requireSameClasses (path: string) (task: ImageTask) (dataset: Dataset) =
        if task.Classes <> dataset.Classes then
            raise (
                TrainingException
                    $"{path} was trained on {task.Dataset} with {task.Classes.Length} classes ({task.Classes[0]}, …); {dataset.Name} has \
                      {dataset.Classes.Length} ({dataset.Classes[0]}, …). Give the data set that it was trained for."
            )

    /// Tells of images that cannot be read.
    let skipped event =
        match event with
        | ImageSkipped image -> Console.Error.WriteLine $"left out: {image.Name}: {image.Reason}"
        | _ -> ()

    let private print (args: ParseResults<EvalArgs>) (dataset: Dataset) (accuracy: Accuracy) =
        if args.Contains EvalArgs.Json then
            Console.WriteLine(Json.write accuracy)
        else
            Show.table
                [ "data set"; "images"; "loss"; "top-1"; "top-5" ]
                [ [ dataset.Name
                    string accuracy.Images
                    $"{accuracy.Loss:F4}"
                    Show.percent accuracy.Top1
                    Show.percent accuracy.Top5 ] ]

    let private eval (args: ParseResults<EvalArgs>) (ranks: IRanks) =
        args.TryGetResult EvalArgs.Threads
        |> Option.iter (Choices.threads "--threads" >> torch.set_num_threads)

        let batch = Choices.count "--batch" (args.GetResult(EvalArgs.Batch, 64))
        let limit = args.TryGetResult EvalArgs.Test_Limit |> Option.map (Choices.count "--test-limit")
        let kind = Choices.dataset (args.GetResult(EvalArgs.Dataset, "drawn"))
        let path = args.GetResult EvalArgs.Checkpoint
        use network = LoadedNetwork.load (Choices.computing (args.TryGetResult EvalArgs.Engine)) path
        let options = { Catalogue.defaults with Size = Some network.ImageTask.Size; TestLimit = limit }
        let dataset = Images.load kind (args.TryGetResult EvalArgs.Data) options
        requireSameClasses path network.ImageTask dataset

        Outcome.untilInterrupted "Nothing is kept." (fun cancellation ->
            let runOptions =
                { RunOptions.Default with
                    Strict = args.Contains EvalArgs.Strict
                    Watch = (if ranks.Rank = 0 then skipped else ignore)
                    Ranks = ranks
                    Cancellation = cancellation }

            let accuracy = Evaluation.accuracyOfReady runOptions batch network dataset.Test

            if ranks.Rank = 0 then
                print args dataset accuracy)

    /// <summary>Runs the command; ranks share the images.</summary>
    let run (args: ParseResults<EvalArgs>) = Job.run None (eval args)
