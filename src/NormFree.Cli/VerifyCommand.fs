namespace NormFree.Cli

open System
open Argu
open NormFree.Data
open NormFree.Inference
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open TorchSharp

/// <summary>What <c>normfree verify --json</c> prints.</summary>
type VerifyResult =
    {
        Agrees: bool
        Mismatches: string list
        Report: VerificationReport
        /// Of the checkpoint's network, computed by the composite engine, where a data set was given.
        Composite: Accuracy option
        Packed: Accuracy option
    }

/// <summary><c>normfree verify</c>.</summary>
[<RequireQualifiedAccess>]
module VerifyCommand =

    let private batch = 64

    /// The data set for a network's task, where one is asked for; what does not make sense is refused before anything is read.
    let private dataset (args: ParseResults<VerifyArgs>) =
        let limit = args.TryGetResult VerifyArgs.Test_Limit |> Option.map (Choices.count "--test-limit")
        let data = args.TryGetResult VerifyArgs.Data

        match args.TryGetResult VerifyArgs.Dataset |> Option.map Choices.dataset with
        | None when limit.IsSome || data.IsSome ->
            raise (UsageException "--data and --test-limit are for a data set: name it with --dataset KIND.")
        | None -> fun _ _ -> None
        | Some kind ->
            fun (path: string) (task: ImageTask) ->
                let options = { Catalogue.defaults with Size = Some task.Size; TestLimit = limit }
                let dataset = Images.load kind data options
                EvalCommand.requireSameClasses path task dataset
                Some dataset

    let private compare count runOptions (checkpoint: Checkpoint) (packed: PackedNetwork) dataset =
        use images =
            match dataset with
            | Some(dataset: Dataset) -> Evaluation.first runOptions checkpoint.ImageTask count dataset.Test
            | None -> Verification.noise checkpoint count

        let report = Verification.run checkpoint packed.Model (PackedRunner.ofNetwork packed) images
        let accuracy of' = dataset |> Option.map (fun dataset -> of' dataset.Test)

        { Agrees = report.Mismatches.IsEmpty
          Mismatches = report.Mismatches
          Report = report
          Composite = accuracy (Evaluation.accuracy runOptions checkpoint.ImageTask batch checkpoint.Network)
          Packed = accuracy (Evaluation.packedAccuracy runOptions checkpoint.ImageTask batch packed) }

    let private row (layer: LayerVerification) =
        let ofSigns value = if layer.Signs = 0L then "-" else value

        [ layer.Key
          ofSigns $"{layer.Signs:N0}"
          ofSigns (string layer.Differing)
          ofSigns (string layer.Zeros)
          ofSigns (string layer.DifferingWeights)
          ofSigns (string layer.DifferingThresholds)
          $"{layer.Difference:G2}"
          ofSigns (string layer.Flips)
          (if layer.Flips = 0L then "-" else $"{layer.FarthestFlip:G2}") ]

    let private printAccuracy name (accuracy: Accuracy option) =
        accuracy
        |> Option.iter (fun a ->
            Console.WriteLine
                $"{name} top-1 {100.0 * a.Top1:F2} %%, top-5 {100.0 * a.Top5:F2} %%, loss {a.Loss:F4} on {a.Images} test images")

    let private print (result: VerifyResult) =
        let report = result.Report

        Show.table
            [ "layer"
              "signs"
              "differ"
              "are 0"
              "weights differ"
              "thresholds differ"
              "difference"
              "flips"
              "farthest flip" ]
            (List.map row report.Layers)

        let whose = if report.Images = 1 then "image" else "images"

        Console.WriteLine
            $"layers on the network's own values, flips of both networks by themselves; {report.Images} {whose}"

        Console.WriteLine $"weights of exactly 0  {report.ZeroWeights}"

        Console.WriteLine
            $"logits                differ by {report.LogitDifference:G3}, the largest is {report.LargestLogit:G3}"

        printAccuracy "checkpoint           " result.Composite
        printAccuracy "packed               " result.Packed

    /// <summary>Runs the command.</summary>
    let run (args: ParseResults<VerifyArgs>) =
        let threads = args.TryGetResult VerifyArgs.Threads |> Option.map (Choices.threads "--threads")
        threads |> Option.iter torch.set_num_threads
        let count = Choices.count "--images" (args.GetResult(VerifyArgs.Images, 2))
        let dataset = dataset args
        let path, file = args.GetResult VerifyArgs.Checkpoint, args.GetResult VerifyArgs.Packed
        let options = PackedOptions(Threads = defaultArg threads Environment.ProcessorCount)

        use checkpoint =
            Checkpoint.load (Checkpoint.precision path) path |> Checkpoint.running Execution.Portable

        use packed = PackedNetwork.Load(file, options)
        let dataset = dataset path checkpoint.ImageTask

        let result =
            Outcome.untilInterrupted "Nothing is kept." (fun cancellation ->
                let runOptions = { RunOptions.Default with Watch = EvalCommand.skipped; Cancellation = cancellation }

                compare count runOptions checkpoint packed dataset)

        if args.Contains VerifyArgs.Json then
            Console.WriteLine(Json.writeSnakeCase result)
        else
            print result

        if not result.Agrees then
            let shown = result.Mismatches |> List.truncate 8 |> String.concat "\n"

            raise (
                TrainingException $"{file} does not compute what {path} does:\n{shown}\nExport the checkpoint again."
            )
