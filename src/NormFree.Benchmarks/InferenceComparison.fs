namespace NormFree.Benchmarks

open System
open NormFree.Kernels.Simd

/// <summary>Compares the latency and memory of inference: the packed engine, libtorch, ONNX Runtime in float32 and 8-bit integers, and PyTorch,
/// each run in a process of its own.</summary>
[<RequireQualifiedAccess>]
module InferenceComparison =

    /// Inference to measure. Networks are BN-free with binary activations and weights and 10 classes, as the reference's are.
    type private Configuration = { Network: string; Arch: string; Batch: int; Image: int; Threads: int }

    type private Measured =
        { LatencyMs: float
          P95: float option
          ImagesPerSecond: float
          PeakMemoryMb: float
          Layout: string option }

    type private ReferenceResult = { ImagesPerSecond: float; Seconds: float; PeakMemoryMb: float }

    let private title (c: Configuration) =
        let threads = if c.Threads = 1 then "1 thread" else $"{c.Threads} threads"
        $"{c.Network}, batch {c.Batch}, {threads}"

    let private configurations =
        [ for network, arch, batch, image in
              [ "ReActNet-A, 224×224", "reactnet-a", 1, 224
                "ReActNet-18, 32×32", "reactnet-18", 1, 32
                "ReActNet-18, 32×32", "reactnet-18", 32, 32 ] do
              for threads in [ 1; 2 ] do
                  { Network = network; Arch = arch; Batch = batch; Image = image; Threads = threads } ]

    /// <summary>The titles of all configurations.</summary>
    let titles = configurations |> List.map title

    let private engines = [ "packed"; "torch"; "onnxruntime"; "onnxruntime-int8" ]

    let private ours tool seconds (c: Configuration) set engine =
        engine,
        fun () ->
            let result: InferenceResult =
                [ "bench"; "infer"; "--arch"; c.Arch; "--norm"; "bn-free"; "--classes"; "10" ]
                @ [ "--image"; string c.Image; "--batch"; string c.Batch; "--threads"; string c.Threads ]
                @ [ "--engine"; engine; "--instructions"; ToolComparison.instructionName set ]
                @ [ "--seconds"; string (seconds: int); "--json" ]
                |> ExternalProgram.json tool

            Some
                { LatencyMs = result.LatencyMs.Median
                  P95 = Some result.LatencyMs.P95
                  ImagesPerSecond = result.ImagesPerSecond
                  PeakMemoryMb = result.PeakMemoryMb
                  Layout = result.Layout }

    /// The reference always uses 2 threads.
    let private pytorch (c: Configuration) set (python, script: string) =
        "reference",
        fun () ->
            if c.Threads <> 2 then
                None
            else
                let sizes = [ c.Batch; c.Image; 20 ] |> List.map string

                let result: ReferenceResult =
                    ExternalProgram.jsonIn
                        (ToolComparison.limits set)
                        python
                        ([ script; ToolComparison.referenceArch c.Arch; "aw" ] @ sizes @ [ "infer" ])

                Some
                    { LatencyMs = 1000.0 * result.Seconds
                      P95 = None
                      ImagesPerSecond = result.ImagesPerSecond
                      PeakMemoryMb = result.PeakMemoryMb
                      Layout = None }

    let private measure (plan: ComparisonPlan) seconds reference (c: Configuration) set =
        let progress run name (measured: Measured) =
            Console.WriteLine
                $"{title c}, {ToolComparison.instructionName set}, run {run}, {name}: {measured.LatencyMs:F2} ms"

        (engines |> List.map (ours plan.Tool seconds c set))
        @ (reference |> Result.toOption |> Option.map (pytorch c set) |> Option.toList)
        |> ToolComparison.alternate plan.Runs progress

    let private columns =
        [ "engine"
          "median latency, ms"
          "95th percentile, ms"
          "images/s"
          "latency to packed"
          "peak memory, MB" ]

    let private row (runs: Map<string, Measured list>) name =
        let own = runs[name]
        let spread digits (pick: Measured -> float) = (own |> List.map pick |> Spread.Of).Text digits

        [ String.Join(", ", name :: (own |> List.choose _.Layout |> List.distinct))
          spread 2 _.LatencyMs
          match own |> List.choose _.P95 with
          | [] -> "-"
          | tails -> $"{(Spread.Of tails).Median:F2}"
          spread 1 _.ImagesPerSecond
          if name = "packed" then
              "1"
          else
              (ToolComparison.ratios (fun (m: Measured) -> m.LatencyMs) own runs["packed"] |> Spread.Of).Text 1
          spread 0 _.PeakMemoryMb ]

    /// The runs of one configuration with one instruction set, by engine.
    type private Runs = { Of: Configuration; Set: InstructionSet; Measured: (string * Measured list) list }

    let private section (c, all: Runs list) =
        [ $"## {title c}"
          for runs in all do
              $"### {ToolComparison.instructionName runs.Set}"
              ToolComparison.table columns [ for name, _ in runs.Measured -> row (Map runs.Measured) name ] ]

    /// The speed-up from 1 thread to 2, from the medians of all runs.
    let private speedUp (all: Runs list) =
        let latency c set name =
            all
            |> List.tryFind (fun runs -> runs.Of = c && runs.Set = set)
            |> Option.bind (_.Measured >> List.tryFind (fst >> (=) name))
            |> Option.map (fun (_, runs) -> (runs |> List.map _.LatencyMs |> Spread.Of).Median)

        let rows =
            [ for runs in all do
                  for name, _ in runs.Measured do
                      let c, set = runs.Of, runs.Set

                      match c.Threads, latency c set name, latency { c with Threads = 2 } set name with
                      | 1, Some one, Some two ->
                          [ $"{c.Network}, batch {c.Batch}"
                            ToolComparison.instructionName set
                            name
                            $"{one / two:F2}" ]
                      | _ -> () ]

        if rows.IsEmpty then
            []
        else
            [ "## From 1 thread to 2"
              ToolComparison.table [ "network"; "instruction set"; "engine"; "speed-up" ] rows ]

    /// <summary>Measures all selected configurations and returns the Markdown page. Takes a quarter of an hour on two cores for each instruction set.</summary>
    /// <remarks>Throws TrainingException if a program fails.</remarks>
    let page (plan: ComparisonPlan) (seconds: int) : string =
        let started, environment, reference =
            DateTime.UtcNow, BenchEnvironment.Now(), ToolComparison.reference plan

        let all =
            [ for c in configurations do
                  if (title c).Contains plan.Only then
                      c,
                      [ for set in plan.Instructions ->
                            { Of = c; Set = set; Measured = measure plan seconds reference c set } ] ]

        [ "# Inference"
          $"Median (lowest–highest) of {plan.Runs} alternating runs, each in a process of its own. A run is the median of at least {seconds} s after a \
            warm-up. The latency to packed is the ratio within each run. Peak memory is of the whole process, in MB of 2²⁰ bytes; it includes libtorch, \
            which creates the network. Networks are BN-free and random, images are noise. torch is libtorch in float32 with all constants folded, in the \
            faster of its layouts. onnxruntime is ONNX Runtime on an exported file with all optimisations. An instruction set \
            limits the packed engine, libtorch and the reference; ONNX Runtime cannot be limited and always uses the fastest of this processor."
          ToolComparison.machine environment started
          ToolComparison.referenceNote
              reference
              "the paper's algorithm in PyTorch, in float32 on 2 threads; it standardises its weights in every run"
          ToolComparison.codeBlock plan.Command
          yield! List.collect section all
          yield! speedUp (List.collect snd all) ]
        |> ToolComparison.page
