namespace NormFree.Cli

open System
open System.Threading
open NormFree.Data
open NormFree.Inference
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training

/// <summary>What <c>normfree verify --json</c> prints.</summary>
type VerifyResult =
    {
        Agrees: bool
        Mismatches: string list
        Report: VerificationReport
        /// The accuracy of the checkpoint's network with the composite engine; None without a data set.
        Composite: Accuracy option
        Packed: Accuracy option
    }

/// <summary><c>normfree verify</c>.</summary>
[<RequireQualifiedAccess>]
module internal VerifyCommand =

    let private batch = 64

    /// Opens the data set for a network's task, if one is given. Wrong usage is rejected before anything is read.
    let private dataset (args: Arguments) =
        let limit, data = args.TryGet Options.Data.testLimit, args.TryGet Options.Data.dataPath

        match args.TryGet Options.Data.dataset with
        | None when limit.IsSome || data.IsSome ->
            raise (UsageException "--data and --test-limit are for a data set: name it with --dataset KIND.")
        | None -> fun _ _ -> None
        | Some kind ->
            fun (path: string) (task: ImageTask) ->
                let options =
                    { Images.withoutTraining (Images.options args) with Size = Some task.Size; TestLimit = limit }

                let dataset = Images.load kind data options
                Images.warn dataset
                let assumption = EvalCommand.matchClasses path task dataset

                if not (args.Has Options.Files.json) then
                    assumption |> Option.iter Output.prose

                Some dataset

    let private compare count runOptions (checkpoint: Checkpoint) (packed: PackedNetwork) dataset =
        use images =
            match dataset with
            | Some(dataset: Dataset) -> Evaluation.first runOptions checkpoint.ImageTask count dataset.Test
            | None -> Verification.noise checkpoint count

        let runner = PackedRunner.cancelledBy runOptions.Cancellation packed
        let report = Verification.run checkpoint packed.Model runner images
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
            // With fewer than six classes it is always 1.
            let top5 = if a.Top5 < 1.0 then $", top-5 {100.0 * a.Top5:F2} %%" else ""

            Output.line $"{name} top-1 {100.0 * a.Top1:F2} %%{top5}, loss {a.Loss:F4} on {a.Images} test images")

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

        let noun = if report.Images = 1 then "image" else "images"

        Output.prose
            $"layers are compared on the network's own values, flips between both networks; {report.Images} {noun}"

        Output.line $"weights of exactly 0  {report.ZeroWeights}"

        Output.prose
            $"logits                differ by {report.LogitDifference:G3}, the largest is {report.LargestLogit:G3}"

        printAccuracy "checkpoint           " result.Composite
        printAccuracy "packed               " result.Packed

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) (cancellation: CancellationToken) =
        let threads = args.TryGet Options.Execution.threads
        NetworkOptions.useThreads threads
        let dataset = dataset args
        let path = ZooFile.checkpoint (args.Get Options.Files.checkpoint)
        let file = ZooFile.packed (args.Get Options.Files.packed)
        let options = PackedOptions(Threads = defaultArg threads Environment.ProcessorCount)

        List.iter NetworkFile.require [ path; file ]

        use checkpoint =
            Checkpoint.load (Checkpoint.precision path) path |> Checkpoint.running Execution.Portable

        use packed = PackedNetwork.Load(file, options)
        let dataset = dataset (args.Get Options.Files.checkpoint) checkpoint.ImageTask
        let runOptions = { RunOptions.Default with OnEvent = EvalCommand.skipped; Cancellation = cancellation }
        let result = compare (args.Get Options.Files.verifyImages) runOptions checkpoint packed dataset

        if args.Has Options.Files.json then
            Output.json (Json.writeSnakeCase result)
        else
            print result

        if not result.Agrees then
            let shown = result.Mismatches |> List.truncate 8 |> String.concat "\n"

            raise (
                TrainingException $"{file} does not compute what {path} does:\n{shown}\nExport the checkpoint again."
            )
