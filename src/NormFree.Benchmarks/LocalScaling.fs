namespace NormFree.Benchmarks

open System
open NormFree.Networks
open NormFree.Spec

/// <summary>Measures one and two training processes on this machine, and compares them with the model of <c>Scaling</c>.</summary>
[<RequireQualifiedAccess>]
module LocalScaling =

    /// Processes, and their total batch: the same as one process's, and the same for each process.
    let private jobs = [ 1, 32; 1, 64; 2, 64; 2, 128 ]

    let private measure tool steps (processes, batch) : BenchResult =
        let bench =
            [ "bench"; "train"; "--arch"; "reactnet-18"; "--batch"; string batch ]
            @ [ "--threads"; "1"; "--steps"; string (steps: int); "--json" ]

        let mpirun =
            [ "-n"; string processes; "--oversubscribe"; "--bind-to"; "none"; "--mca"; "btl"; "self,vader,tcp" ]

        if processes = 1 then
            ExternalProgram.json tool bench
        else
            ExternalProgram.json "mpirun" (mpirun @ (tool :: bench))

    let private median pick (results: BenchResult list) = (results |> List.map pick |> Spread.Of).Median

    /// The run of median speed.
    let private typical (results: BenchResult list) =
        results |> List.sortBy _.ImagesPerSecond.Median |> List.item (results.Length / 2)

    /// The model's prediction from both batches of one process and the link that the processes measured.
    let private predicted (runs: Map<int * int, BenchResult list>) (processes, batch) =
        let costs = runs[processes, batch] |> List.choose _.Exchange
        let link pick = (costs |> List.map (_.NetworkLink >> pick) |> Spread.Of).Median

        let link: NetworkLink =
            if costs.IsEmpty then
                { BandwidthGbit = 10.0; LatencyUs = 50.0 } // One process sends nothing.
            else
                { BandwidthGbit = link _.BandwidthGbit; LatencyUs = link _.LatencyUs }

        let model = Scaling.model ReActNet.cifar18 (typical runs[1, 64]) (typical runs[1, 32])
        Scaling.predict model link batch processes

    let private columns =
        [ "processes"; "batch"; "images/s"; "efficiency"; "predicted images/s" ]
        @ [ "data and forward, ms"; "backward, ms"; "clip and step, ms"; "exposed exchange, ms" ]
        @ [ "sums, MB"; "exchange, ms"; "hidden, %"; "bandwidth, Gbit/s"; "latency, µs" ]

    let private row (runs: Map<int * int, BenchResult list>) (processes, batch) =
        let own = runs[processes, batch]
        let spread digits pick = (own |> List.map pick |> Spread.Of).Text digits

        let cost digits pick =
            match own |> List.choose _.Exchange with
            | [] -> "-"
            | costs -> (costs |> List.map pick |> Spread.Of).Text digits

        let speed = median _.ImagesPerSecond.Median own
        // One process with as many images as each of these.
        let alone = median _.ImagesPerSecond.Median runs[1, batch / processes]

        [ string processes
          string batch
          spread 1 _.ImagesPerSecond.Median
          $"{100.0 * speed / (float processes * alone):F0} %%"
          $"{(predicted runs (processes, batch)).ImagesPerSecond:F1}"
          spread 1 (fun r -> r.PhaseMs.Data + r.PhaseMs.Forward)
          spread 1 _.PhaseMs.Backward
          spread 1 (fun r -> r.PhaseMs.Clip + r.PhaseMs.Step)
          spread 1 _.PhaseMs.Exchange
          cost 1 (fun (c: ExchangeCosts) -> float c.Bytes / 1e6)
          cost 1 _.BusyMs
          cost 0 (fun c -> 100.0 * c.Overlap)
          cost 1 _.NetworkLink.BandwidthGbit
          cost 0 _.NetworkLink.LatencyUs ]

    /// mpirun refuses to run as root without these.
    let private allowRoot () =
        for name in [ "OMPI_ALLOW_RUN_AS_ROOT"; "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM" ] do
            Environment.SetEnvironmentVariable(name, "1")

    let private all (plan: ComparisonPlan) steps =
        [ for run in 1 .. plan.Runs do
              for processes, batch in jobs do
                  let result = measure plan.Tool steps (processes, batch)

                  Console.WriteLine
                      $"{processes} processes, batch {batch}, run {run}: {result.ImagesPerSecond.Median:F1} images/s"

                  (processes, batch), result ]
        |> List.groupBy fst
        |> List.map (fun (job, results) -> job, List.map snd results)
        |> Map

    /// <summary>Measures all jobs in alternation and returns the Markdown page. Takes two minutes on two idle cores.</summary>
    /// <remarks>Throws TrainingException if mpirun or the tool fails.</remarks>
    let page (plan: ComparisonPlan) (steps: int) : string =
        let started, environment = DateTime.UtcNow, BenchEnvironment.Now()
        allowRoot ()
        let runs = all plan steps

        [ "# One and two processes on one machine"
          $"Median (lowest–highest) of {plan.Runs} alternating runs. A run is the median of {steps} steps of ReActNet-18 on 32×32 images, BN-free, stage 2, \
            with the corrected recipe and its sign centering, on one thread per process. Processes exchange sums through shared memory. The predictions \
            use one process with 32 and 64 images, in the runs of median speed, and the link as measured."
          ToolComparison.machine environment started
          ToolComparison.codeBlock plan.Command
          ToolComparison.table columns (jobs |> List.map (row runs)) ]
        |> ToolComparison.page
