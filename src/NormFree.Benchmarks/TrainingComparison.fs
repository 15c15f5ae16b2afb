namespace NormFree.Benchmarks

open System

/// <summary>Compares the speed and memory of training steps: both engines, both precisions, and PyTorch, each run in a process of its
/// own.</summary>
[<RequireQualifiedAccess>]
module TrainingComparison =

    /// A training step to measure. Networks are BN-free with 10 classes, as the reference's are.
    type private Configuration = { Title: string; Arch: string; Binarise: string; Batch: int; Image: int }

    type private Measured = { ImagesPerSecond: float; PeakMemoryMb: float; Phases: PhaseTimes option }

    type private ReferenceResult = { ImagesPerSecond: float; PeakMemoryMb: float }

    /// The reference uses 2 threads.
    let private threads = 2

    let private configurations =
        [ for network, arch, batch, image in
              [ "ReActNet-18, 32×32", "reactnet-18", 64, 32
                "ReActNet-A, 224×224", "reactnet-a", 8, 224
                "ReActNet-18, 32×32", "reactnet-18", 128, 32 ] do
              for binarise in [ "activations+weights"; "activations" ] do
                  { Title = $"{network}, batch {batch}, {binarise}"
                    Arch = arch
                    Binarise = binarise
                    Batch = batch
                    Image = image } ]

    /// <summary>The titles of all configurations.</summary>
    let titles = configurations |> List.map _.Title

    /// The published recipe, which the reference implements.
    let private toolArguments steps engine precision set (c: Configuration) =
        [ "bench"; "train"; "--arch"; c.Arch; "--norm"; "bn-free"; "--binarise"; c.Binarise ]
        @ [ "--batch"; string c.Batch; "--image"; string c.Image; "--classes"; "10" ]
        @ [ "--threads"; string threads; "--engine"; engine; "--precision"; precision ]
        @ [ "--instructions"; ToolComparison.instructionName set ]
        @ [ "--recipe"; "published"; "--steps"; string steps; "--json" ]

    let private ours tool steps (c: Configuration) set (engine, precision) =
        $"{engine}, {precision}",
        fun () ->
            let result: BenchResult = ExternalProgram.json tool (toolArguments steps engine precision set c)

            Some
                { ImagesPerSecond = result.ImagesPerSecond.Median
                  PeakMemoryMb = result.PeakMemoryMb
                  Phases = Some result.PhaseMs }

    let private pytorch steps (c: Configuration) set (python, script: string) =
        "reference",
        fun () ->
            let stage = if c.Binarise = "activations" then "a" else "aw"
            let sizes = [ c.Batch; c.Image; steps ] |> List.map string

            let result: ReferenceResult =
                ExternalProgram.jsonIn
                    (ToolComparison.limits set)
                    python
                    (script :: ToolComparison.referenceArch c.Arch :: stage :: sizes)

            Some { ImagesPerSecond = result.ImagesPerSecond; PeakMemoryMb = result.PeakMemoryMb; Phases = None }

    let private columns =
        [ "engine, precision"
          "images/s"
          "to reference"
          "to composite"
          "peak memory, MB"
          "to reference" ]
        @ [ "data, ms"; "forward, ms"; "backward, ms"; "clip, ms"; "step, ms" ]

    let private ratio value (runs: Map<string, Measured list>) name basis =
        match Map.tryFind basis runs with
        | _ when name = basis -> "1"
        | Some others -> (ToolComparison.ratios value runs[name] others |> Spread.Of).Text 2
        | None -> "-"

    let private row (runs: Map<string, Measured list>) name =
        let own = runs[name]
        let spread digits (pick: Measured -> float) = (own |> List.map pick |> Spread.Of).Text digits

        let phase pick =
            match own |> List.choose _.Phases with
            | [] -> "-"
            | phases -> $"{(phases |> List.map pick |> Spread.Of).Median:F1}"

        [ name
          spread 1 _.ImagesPerSecond
          ratio _.ImagesPerSecond runs name "reference"
          ratio _.ImagesPerSecond runs name "composite, float32"
          spread 0 _.PeakMemoryMb
          ratio _.PeakMemoryMb runs name "reference"
          phase _.Data
          phase _.Forward
          phase _.Backward
          phase _.Clip
          phase _.Step ]

    let private tableOf (plan: ComparisonPlan) steps reference (c: Configuration) set =
        let candidates =
            (reference |> Result.toOption |> Option.map (pytorch steps c set) |> Option.toList)
            @ ([ "composite", "float32"; "fused", "float32"; "fused", "bf16" ]
               |> List.map (ours plan.Tool steps c set))

        let progress run name (measured: Measured) =
            Console.WriteLine
                $"{c.Title}, {ToolComparison.instructionName set}, run {run}, {name}: {measured.ImagesPerSecond:F1} images/s"

        let runs = ToolComparison.alternate plan.Runs progress candidates
        ToolComparison.table columns [ for name, _ in runs -> row (Map runs) name ]

    let private section (plan: ComparisonPlan) steps reference (c: Configuration) =
        [ $"## {c.Title}"
          for set in plan.Instructions do
              $"### {ToolComparison.instructionName set}"
              tableOf plan steps reference c set ]

    /// <summary>Measures all selected configurations and returns the Markdown page. Takes half an hour on two cores for each instruction set.</summary>
    /// <remarks>Throws TrainingException if a program fails.</remarks>
    let page (plan: ComparisonPlan) (steps: int) : string =
        let started, environment, reference =
            DateTime.UtcNow, BenchEnvironment.Now(), ToolComparison.reference plan

        [ "# Training steps"
          $"Median (lowest–highest) of {plan.Runs} alternating runs, each in a process of its own. A run is the median of {steps} steps after a warm-up, \
            including Adam and adaptive clipping of all layers but the classifier. Ratios of images/s are taken within each run. Peak memory is of the \
            whole process, in MB of 2²⁰ bytes. Phases are medians. Networks are BN-free and use {threads} threads. An instruction set limits the kernels, \
            libtorch and the reference."
          ToolComparison.machine environment started
          ToolComparison.referenceNote reference "the paper's algorithm in PyTorch, in float32"
          ToolComparison.codeBlock plan.Command
          for c in configurations do
              if c.Title.Contains plan.Only then
                  yield! section plan steps reference c ]
        |> ToolComparison.page
