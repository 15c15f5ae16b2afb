// Speed and memory of training steps: both engines, both precisions, and the PyTorch reference where it is installed, by turns, each in a
// process of its own:  dotnet fsi experiments/bench.fsx [--reference bench.py] [--runs 5] [--steps 5] [--only WORDS]
// All of it takes half an hour on two cores. WORDS choose configurations by a part of their titles, such as "ReActNet-18" or "batch 128". The
// reference is a script that trains the paper's networks in PyTorch and prints JSON; shared/reference/bench.py beside the repository if no other is named.
#load "prelude.fsx"

open System
open System.IO
open NormFree.Reporting
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open Prelude

type Settings = { Reference: string; Runs: int; Steps: int; Only: string }

/// One training step to measure; the reference's networks are bn-free with 10 classes.
type Configuration = { Title: string; Arch: string; Binarise: string; Batch: int; Image: int; Threads: int }

type Measured = { ImagesPerSecond: float; PeakMemoryMb: float; Phases: PhaseTimes option }

/// Someone who takes that step.
type Candidate = { Name: string; Measure: Configuration -> Measured }

let settings =
    settings
        "bench.fsx"
        [ path "--reference" (fun s file -> { s with Reference = file })
          count "--runs" (fun s n -> { s with Runs = n })
          count "--steps" (fun s n -> { s with Steps = n })
          text "--only" (fun s words -> { s with Only = words }) ]
        { Reference = beside "shared/reference/bench.py"; Runs = 5; Steps = 5; Only = "" }

atRoot ()

let configurations =
    [ for title, arch, batch, image in
          [ "ReActNet-18, 32×32", "reactnet-18", 64, 32
            "ReActNet-A, 224×224", "reactnet-a", 8, 224
            "ReActNet-18, 32×32", "reactnet-18", 128, 32 ] do
          for binarise in [ "activations+weights"; "activations" ] do
              { Title = $"{title}, batch {batch}, {binarise}"
                Arch = arch
                Binarise = binarise
                Batch = batch
                Image = image
                // As many as the reference takes.
                Threads = 2 } ]
    |> List.filter _.Title.Contains(settings.Only)

if configurations.IsEmpty then
    eprintfn $"No configuration has '{settings.Only}' in its title."
    exit 2

let bench (configuration: Configuration) engine precision =
    [ "bench"
      "train"
      "--arch"
      configuration.Arch
      "--norm"
      "bn-free"
      "--binarise"
      configuration.Binarise ]
    @ [ "--batch"; string configuration.Batch; "--image"; string configuration.Image; "--classes"; "10" ]
    @ [ "--threads"; string configuration.Threads; "--engine"; engine; "--precision"; precision ]
    // As the reference does it.
    @ [ "--recipe"; "published"; "--steps"; string settings.Steps; "--json" ]

/// What the tool has told about itself and the machine; the same in every run but for the load.
let mutable environment: BenchEnvironment option = None

let ours engine precision =
    { Name = $"{engine}, {precision}"
      Measure =
        fun configuration ->
            let result: BenchResult = read (output tool (bench configuration engine precision))
            environment <- Some(Option.defaultValue result.Environment environment)

            { ImagesPerSecond = result.ImagesPerSecond.Median
              PeakMemoryMb = result.PeakMemoryMb
              Phases = Some result.PhaseMs } }

type ReferenceResult = { ImagesPerSecond: float; PeakMemoryMb: float }

let reference python =
    { Name = "reference"
      Measure =
        fun configuration ->
            let arch = if configuration.Arch = "reactnet-a" then "A" else "18"
            let binarise = if configuration.Binarise = "activations" then "a" else "aw"
            let numbers = [ configuration.Batch; configuration.Image; settings.Steps ] |> List.map string
            let found: ReferenceResult = read (output python (settings.Reference :: arch :: binarise :: numbers))
            { ImagesPerSecond = found.ImagesPerSecond; PeakMemoryMb = found.PeakMemoryMb; Phases = None } }

let referenceOrWhyNot = pythonFor settings.Reference |> Result.map reference

let candidates =
    Option.toList (Result.toOption referenceOrWhyNot)
    @ [ ours "composite" "float32"; ours "fused" "float32"; ours "fused" "bf16" ]

/// What every candidate did in every run; a run asks each of them once.
let measure configuration =
    [ for run in 1 .. settings.Runs do
          for candidate in candidates do
              let measured = candidate.Measure configuration
              printfn $"{configuration.Title}, run {run}, {candidate.Name}: {measured.ImagesPerSecond:F1} images/s"
              candidate.Name, measured ]
    |> List.groupBy fst
    |> List.map (fun (name, runs) -> name, List.map snd runs)

/// Run by run, so that what slows the machine down for a while is in both.
let ratio (value: Measured -> float) (runs: Map<string, Measured list>) name basis =
    match Map.tryFind basis runs with
    | _ when name = basis -> "1"
    | Some others -> List.map2 (fun a b -> value a / value b) runs[name] others |> spread 2
    | None -> "-"

let phase pick (runs: Measured list) =
    match runs |> List.choose _.Phases with
    | [] -> "-"
    | phases -> $"{(phases |> List.map pick |> Spread.Of).Median:F1}"

let row (runs: Map<string, Measured list>) (name: string) =
    let own = runs[name]

    [ name
      own |> List.map _.ImagesPerSecond |> spread 1
      ratio _.ImagesPerSecond runs name "reference"
      ratio _.ImagesPerSecond runs name "composite, float32"
      own |> List.map _.PeakMemoryMb |> spread 0
      ratio _.PeakMemoryMb runs name "reference"
      phase _.Data own
      phase _.Forward own
      phase _.Backward own
      phase _.Clip own
      phase _.Step own ]

let columns =
    [ "engine, precision"
      "images/s"
      "to reference"
      "to composite"
      "peak memory, MB"
      "to reference" ]
    @ [ "data, ms"; "forward, ms"; "backward, ms"; "clip, ms"; "step, ms" ]

let section (configuration: Configuration) =
    let runs = measure configuration
    let table: Table = { Columns = columns; Rows = runs |> List.map (fst >> row (Map runs)) }
    [ $"## {configuration.Title}"; Report.markdownTable table ]

let started = DateTime.UtcNow
let sections = List.collect section configurations

[ "# Training steps"
  $"Median (lowest–highest) of {settings.Runs} runs, taken by turns, each in a process of its own; a run is the median of {settings.Steps} steps \
    after a warm-up, Adam and adaptive clipping of all but the classifier included. Ratios are those of each run's images a second. Peak memory \
    is the whole process's, in MB of 2²⁰ bytes. Phases are medians. Networks are bn-free, 2 threads compute."
  machine environment started
  match referenceOrWhyNot with
  | Ok _ -> "The reference is the paper's algorithm in PyTorch, float32."
  | Error why -> $"The reference was left out: {why}."
  "```sh\n" + command "bench.fsx" given + "\n```"
  yield! sections ]
|> List.filter (fun paragraph -> paragraph <> "")
|> fun paragraphs -> write "experiments/results/bench-train.md" (String.Join("\n\n", paragraphs) + "\n")

printfn "Written: experiments/results/bench-train.md"
