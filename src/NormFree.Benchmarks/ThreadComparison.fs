namespace NormFree.Benchmarks

open System
open System.Diagnostics

/// <summary>Compares one thread with two on a machine that is idle but for the benchmark, and on one where another process keeps a core busy.</summary>
[<RequireQualifiedAccess>]
module ThreadComparison =

    /// Work whose time is measured in milliseconds: an inference, or a training step.
    type private Work = { Title: string; Measure: string -> int -> float }

    let private network (arch: string) image batch =
        [ "--arch"; arch; "--norm"; "bn-free"; "--classes"; "10" ]
        @ [ "--image"; string<int> image; "--batch"; string<int> batch; "--json" ]

    let private inference title arch image =
        { Title = $"inference, {title}, batch 1"
          Measure =
            fun tool threads ->
                let result: InferenceResult =
                    [ "bench"; "infer"; "--engine"; "packed"; "--threads"; string threads; "--seconds"; "1" ]
                    @ network arch image 1
                    |> ExternalProgram.json tool

                result.LatencyMs.Median }

    let private training binarise =
        { Title = $"training step, ReActNet-18, 32×32, batch 64, {binarise}"
          Measure =
            fun tool threads ->
                let result: BenchResult =
                    [ "bench"; "train"; "--binarise"; binarise; "--threads"; string threads; "--steps"; "5" ]
                    @ network "reactnet-18" 32 64
                    |> ExternalProgram.json tool

                1000.0 * float result.Batch / result.ImagesPerSecond.Median }

    let private works =
        [ inference "ReActNet-A, 224×224" "reactnet-a" 224
          inference "ReActNet-18, 32×32" "reactnet-18" 32
          training "activations+weights"
          training "activations" ]

    /// <summary>The titles of what is measured.</summary>
    let titles = works |> List.map _.Title

    /// A process that computes without end on the last processor until it is disposed.
    type private Load() =
        let busy = Process.Start(ProcessStartInfo("/bin/sh", [ "-c"; "while :; do :; done" ])) |> nonNull

        do
            if OperatingSystem.IsLinux() || OperatingSystem.IsWindows() then
                busy.ProcessorAffinity <- nativeint (1L <<< (Environment.ProcessorCount - 1))

        interface IDisposable with
            member _.Dispose() =
                busy.Kill()
                busy.WaitForExit()
                busy.Dispose()

    let private underLoad work tool threads =
        use _ = new Load()
        work.Measure tool threads

    let private candidates tool work =
        [ for threads in [ 1; 2 ] do
              $"{threads}, idle", (fun () -> Some(work.Measure tool threads))
              $"{threads}, busy", (fun () -> Some(underLoad work tool threads)) ]

    let private row (plan: ComparisonPlan) work =
        let progress run name (ms: float) = Console.WriteLine $"{work.Title}, run {run}, threads {name}: {ms:F2} ms"

        let runs = Map(ToolComparison.alternate plan.Runs progress (candidates plan.Tool work))
        let ratio over under = (ToolComparison.ratios id runs[over] runs[under] |> Spread.Of).Text 2

        [ work.Title
          for name in [ "1, idle"; "2, idle"; "1, busy"; "2, busy" ] do
              (Spread.Of runs[name]).Text 2
          ratio "1, idle" "2, idle"
          ratio "2, busy" "1, busy" ]

    let private columns =
        [ "work"
          "1 thread, ms"
          "2 threads, ms"
          "1 thread, one core busy, ms"
          "2 threads, one core busy, ms" ]
        @ [ "speed-up of 2 threads"; "time of 2 threads to 1, one core busy" ]

    /// <summary>Measures all selected work and returns the Markdown page. Takes five minutes on two cores. For machines with a POSIX shell.</summary>
    /// <remarks>Throws TrainingException if the tool fails.</remarks>
    let page (plan: ComparisonPlan) : string =
        let started, environment = DateTime.UtcNow, BenchEnvironment.Now()

        [ "# Threads and busy cores"
          $"Median (lowest–highest) of {plan.Runs} alternating runs, each in a process of its own. Where one core is busy, another process computes on the last \
            processor without end. Ratios are taken within each run. Training uses the corrected recipe."
          ToolComparison.machine environment started
          ToolComparison.codeBlock plan.Command
          ToolComparison.table
              columns
              [ for work in works do
                    if work.Title.Contains plan.Only then
                        row plan work ] ]
        |> ToolComparison.page
