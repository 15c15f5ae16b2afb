namespace NormFree.Cli

open System
open Argu
open NormFree.Spec
open NormFree.Training
open TorchSharp

/// <summary><c>normfree bench</c>.</summary>
[<RequireQualifiedAccess>]
module BenchCommand =

    let private network (args: ParseResults<BenchTrainArgs>) image =
        Choices.sized
            (args.GetResult(BenchTrainArgs.Arch, "reactnet-18"))
            (args.TryGetResult BenchTrainArgs.Width, args.TryGetResult BenchTrainArgs.Depth)
            (TrainCommand.stem (args.TryGetResult BenchTrainArgs.Stem) image)
        |> Net.withClasses (Choices.within 2 10_000_000 "--classes" (args.GetResult(BenchTrainArgs.Classes, 10)))
        |> TrainCommand.requireBinary
            [ "--norm", args.Contains BenchTrainArgs.Norm; "--binarise", args.Contains BenchTrainArgs.Binarise ]
        |> Net.withNorm (Choices.norm (args.GetResult(BenchTrainArgs.Norm, "bn-free")))
        |> Net.withBinarise (
            Choices.binarise (args.GetResult(BenchTrainArgs.Binarise, Words.binarise ActivationsAndWeights))
        )

    let private job (args: ParseResults<BenchTrainArgs>) : BenchJob =
        let image = Choices.side "--image" (args.GetResult(BenchTrainArgs.Image, 32))
        let basis = BenchJob.Default(network args image)

        { basis with
            Recipe =
                { basis.Recipe with
                    Batch = Choices.count "--batch" (args.GetResult(BenchTrainArgs.Batch, basis.Recipe.Batch)) }
            Image = image
            WarmUp = Choices.within 0 Int32.MaxValue "--warm-up" (args.GetResult(BenchTrainArgs.Warm_Up, basis.WarmUp))
            Steps = Choices.count "--steps" (args.GetResult(BenchTrainArgs.Steps, basis.Steps))
            Profile = args.Contains BenchTrainArgs.Profile
            Execution =
                Choices.execution
                    Cpu
                    (args.TryGetResult BenchTrainArgs.Engine)
                    (args.TryGetResult BenchTrainArgs.Precision) }

    let private cell (milliseconds: float option) =
        match milliseconds with
        | Some value -> $"{value:F2}"
        | None -> "-"

    /// What was measured, in the words of its options.
    let private title (result: BenchResult) =
        [ result.Arch
          yield! Option.toList result.Norm
          yield! Option.toList result.Binarise
          $"batch {result.Batch} of {result.Image}×{result.Image}"
          Json.words result.Engine
          Json.words result.Precision
          $"{result.Threads} threads" ]
        |> String.concat ", "

    let private phases (result: BenchResult) =
        let phases = result.PhaseMs

        let all =
            [ "data", phases.Data
              "forward", phases.Forward
              "backward", phases.Backward
              "clip", phases.Clip
              "step", phases.Step ]

        let total = List.sumBy snd all

        Show.table
            [ "phase"; "median ms"; "share" ]
            [ for name, value in all -> [ name; $"{value:F2}"; Show.percent (value / total) ] ]

    let private layers (layers: LayerTimes list) =
        Show.table
            [ "layer"; "forward ms"; "backward ms" ]
            [ for layer in layers -> [ layer.Name; cell layer.ForwardMs; cell layer.BackwardMs ] ]

    let private print (result: BenchResult) =
        Console.WriteLine(title result)
        let speed = result.ImagesPerSecond

        Show.table
            [ "images a second"; "median"; "min"; "max"; "peak memory" ]
            [ [ $"of {result.Steps} steps"
                $"{speed.Median:F1}"
                $"{speed.Min:F1}"
                $"{speed.Max:F1}"
                $"{result.PeakMemoryMb:F0} MB" ] ]

        phases result
        result.Profile |> Option.iter layers
        Show.machine result.Environment

    /// <summary>Runs <c>normfree bench train</c>.</summary>
    let train (args: ParseResults<BenchTrainArgs>) =
        args.TryGetResult BenchTrainArgs.Threads
        |> Option.iter (Choices.threads "--threads" >> torch.set_num_threads)

        let job = job args

        let result =
            Outcome.untilInterrupted "Nothing is kept." (fun cancellation ->
                Show.counting "step" (job.WarmUp + job.Steps) (fun progress ->
                    Bench.train { job with Progress = progress; Cancellation = cancellation }))

        if args.Contains BenchTrainArgs.Json then
            Console.WriteLine(Json.writeSnakeCase result)
        else
            print result
