namespace NormFree.Cli

open System
open Argu
open NormFree.Distributed
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
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
            [ "--norm", args.Contains BenchTrainArgs.Norm
              "--binarise", args.Contains BenchTrainArgs.Binarise
              "--shortcut", args.Contains BenchTrainArgs.Shortcut ]
        |> Net.withNorm (Choices.norm (args.GetResult(BenchTrainArgs.Norm, "bn-free")))
        |> Net.withBinarise (
            Choices.binarise (args.GetResult(BenchTrainArgs.Binarise, Names.binarise ActivationsAndWeights))
        )
        |> Net.withShortcutWeights (Choices.shortcutWeights (args.GetResult(BenchTrainArgs.Shortcut, "binary")))

    let private job (args: ParseResults<BenchTrainArgs>) ranks : BenchJob =
        let image = Choices.side "--image" (args.GetResult(BenchTrainArgs.Image, 32))
        let basis = BenchJob.Default(network args image)

        { basis with
            Recipe =
                { Choices.recipe (args.GetResult(BenchTrainArgs.Recipe, "corrected")) with
                    Batch = Choices.count "--batch" (args.GetResult(BenchTrainArgs.Batch, basis.Recipe.Batch)) }
            Image = image
            WarmUp = Choices.within 0 Int32.MaxValue "--warm-up" (args.GetResult(BenchTrainArgs.Warm_Up, basis.WarmUp))
            Steps = Choices.count "--steps" (args.GetResult(BenchTrainArgs.Steps, basis.Steps))
            Profile = args.Contains BenchTrainArgs.Profile
            Ranks = ranks
            Accumulate = Choices.count "--accumulate" (args.GetResult(BenchTrainArgs.Accumulate, 1))
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
          Json.name result.Engine
          Json.name result.Precision
          $"{result.Threads} threads"
          if result.SignCentering then
              "sign centering"
          yield! ({ Ranks = result.Ranks; Accumulate = result.Accumulate }: BatchPartition).Description ]
        |> String.concat ", "

    let private phases (result: BenchResult) =
        let phases = result.PhaseMs

        let all =
            [ "data", phases.Data
              "forward", phases.Forward
              "backward", phases.Backward
              if result.Ranks > 1 then
                  "exchange", phases.Exchange
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

    let private exchange (costs: ExchangeCosts) =
        Show.table
            [ "sums"; "messages"; "under way"; "waited for"; "hidden"; "bandwidth"; "latency" ]
            [ [ $"{float costs.Bytes / 1e6:F1} MB"
                string costs.Messages
                $"{costs.BusyMs:F2} ms"
                $"{costs.ExposedMs:F2} ms"
                Show.percent costs.Overlap
                $"{costs.NetworkLink.BandwidthGbit:F2} Gbit/s"
                $"{costs.NetworkLink.LatencyUs:F0} µs" ] ]

    let private predictions what (rows: Prediction list) =
        Show.table
            [ what; "batch"; "images a node"; "step ms"; "exchange ms"; "waited for"; "images/s"; "efficiency" ]
            [ for row in rows ->
                  [ $"{row.Nodes} nodes"
                    string row.Batch
                    string row.ImagesPerNode
                    $"{row.StepMs:F1}"
                    $"{row.ExchangeMs:F1}"
                    $"{row.ExposedMs:F1}"
                    $"{row.ImagesPerSecond:F1}"
                    Show.percent row.Efficiency ] ]

    let private scaling (table: ScalingTable) =
        Console.WriteLine
            $"Predicted at {table.NetworkLink.BandwidthGbit:F2} Gbit/s and {table.NetworkLink.LatencyUs:F0} µs:"

        predictions "one batch for all" table.SameBatch
        predictions "a batch for each" table.BatchPerNode

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
        result.Exchange |> Option.iter exchange
        result.Profile |> Option.iter layers
        result.Scaling |> Option.iter scaling
        Show.machine result.Environment

    /// What --predict asks for: numbers of nodes, and of the network between them what is given.
    type private Forecast = { Nodes: int list; Bandwidth: float option; Latency: float option }

    /// Read before anything is measured: a bad option must not cost a measurement.
    let private forecast (args: ParseResults<BenchTrainArgs>) =
        args.TryGetResult BenchTrainArgs.Predict
        |> Option.map (fun nodes ->
            { Nodes = Choices.counts "--predict" nodes
              Bandwidth = args.TryGetResult BenchTrainArgs.Bandwidth |> Option.map (Choices.positive "--bandwidth")
              Latency = args.TryGetResult BenchTrainArgs.Latency |> Option.map (Choices.positive "--latency") })

    /// The network between predicted nodes: as it is given, or was measured between the ranks.
    let private wire (forecast: Forecast) (result: BenchResult) : NetworkLink =
        let measured =
            match result.Exchange with
            | Some costs -> costs.NetworkLink
            | None -> { BandwidthGbit = 10.0; LatencyUs = 50.0 }

        { BandwidthGbit = forecast.Bandwidth |> Option.defaultValue measured.BandwidthGbit
          LatencyUs = forecast.Latency |> Option.defaultValue measured.LatencyUs }

    /// What many nodes would do; a smaller batch is measured as well, which tells what a step costs beside its images.
    let private predicted (job: BenchJob) (result: BenchResult) (forecast: Forecast) =
        let fewer = max 1 (job.Recipe.Batch / 4)

        let small =
            Bench.train { job with Recipe = { job.Recipe with Batch = fewer }; Progress = ignore; Profile = false }

        Scaling.table
            (Scaling.model job.Net result small)
            (wire forecast result)
            job.Recipe.Batch
            (max 1 (job.Recipe.Batch / result.Ranks))
            forecast.Nodes

    let private measure (args: ParseResults<BenchTrainArgs>) (ranks: IRanks) =
        args.TryGetResult BenchTrainArgs.Threads
        |> Option.iter (Choices.threads "--threads" >> torch.set_num_threads)

        let job, forecast = job args ranks, forecast args

        let result =
            Outcome.untilInterrupted "Nothing is kept." (fun cancellation ->
                Show.counting "step" (job.WarmUp + job.Steps) (fun progress ->
                    let job = { job with Progress = progress; Cancellation = cancellation }
                    let result = Bench.train job
                    { result with Scaling = forecast |> Option.map (predicted job result) }))

        if ranks.Rank = 0 then
            if args.Contains BenchTrainArgs.Json then
                Console.WriteLine(Json.writeSnakeCase result)
            else
                print result

    /// <summary>Runs <c>normfree bench train</c>.</summary>
    let train (args: ParseResults<BenchTrainArgs>) =
        let patience =
            args.TryGetResult BenchTrainArgs.Rank_Timeout |> Option.map (Choices.patience "--rank-timeout")

        Job.run patience (measure args)
