namespace NormFree.Cli

open System
open System.Threading
open NormFree.Distributed
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks

/// <summary><c>normfree bench train</c>.</summary>
[<RequireQualifiedAccess>]
module internal BenchCommand =

    let private job (args: Arguments) ranks : BenchJob =
        let image = args.Get Options.Measurement.image

        let net =
            NetworkOptions.described args Options.Network.arch image (args.Get Options.Network.classes)
            |> Net.withBinarise (args.Get Options.Network.binarise)

        let recipe = NetworkOptions.recipe (args.Get Options.Recipe.recipe)

        { BenchJob.Default net with
            Recipe = { recipe with Batch = args.Get Options.Recipe.batch }
            Image = image
            WarmUp = args.Get Options.Measurement.warmUpSteps
            Steps = args.Get Options.Measurement.steps
            Profile = args.Has Options.Measurement.profile
            Ranks = ranks
            Accumulate = args.Get Options.Execution.accumulate
            Execution =
                NetworkOptions.execution Cpu (args.Get Options.Execution.engine) (args.Get Options.Execution.precision) }

    let private cell (milliseconds: float option) =
        match milliseconds with
        | Some value -> $"{value:F2}"
        | None -> "-"

    /// The measured options in words.
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
        Output.line $"Predicted at {table.NetworkLink.BandwidthGbit:F2} Gbit/s and {table.NetworkLink.LatencyUs:F0} µs:"
        predictions "one batch for all" table.SameBatch
        predictions "a batch for each" table.BatchPerNode

    let private print (result: BenchResult) =
        Output.line (title result)
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

    /// The link between the predicted nodes: as given, as measured between ranks, or a default.
    let private link (args: Arguments) (result: BenchResult) : NetworkLink =
        let measured =
            match result.Exchange with
            | Some costs -> costs.NetworkLink
            | None -> { BandwidthGbit = 10.0; LatencyUs = 50.0 }

        { BandwidthGbit = args.TryGet Options.Measurement.bandwidth |> Option.defaultValue measured.BandwidthGbit
          LatencyUs = args.TryGet Options.Measurement.latency |> Option.defaultValue measured.LatencyUs }

    /// The speed of many nodes. A smaller batch is measured too: the difference gives the part of a step that does not depend on the batch.
    let private predicted (args: Arguments) (job: BenchJob) (result: BenchResult) =
        args.TryGet Options.Measurement.predictNodes
        |> Option.map (fun nodes ->
            let fewer = max 1 (job.Recipe.Batch / 4)

            let small =
                Bench.train { job with Recipe = { job.Recipe with Batch = fewer }; Progress = ignore; Profile = false }

            Scaling.table
                (Scaling.model job.Net result small)
                (link args result)
                job.Recipe.Batch
                (max 1 (job.Recipe.Batch / result.Ranks))
                nodes)

    let private measure (args: Arguments) cancellation (ranks: IRanks) =
        NetworkOptions.useThreads (args.TryGet Options.Execution.threads)
        let job = job args ranks

        let result =
            Show.counting "step" (job.WarmUp + job.Steps) (fun progress ->
                let job = { job with Progress = progress; Cancellation = cancellation }
                let result = Bench.train job
                { result with Scaling = predicted args job result })

        if ranks.Rank = 0 then
            if args.Has Options.Files.json then
                Output.json (Json.writeSnakeCase result)
            else
                print result

    /// <summary>Runs the command.</summary>
    let train (args: Arguments) (cancellation: CancellationToken) =
        let timeout = args.TryGet Options.Execution.rankTimeout |> Option.map TimeSpan.FromSeconds
        Job.run timeout (measure args cancellation)
