// Speed and memory of inference: NormFree's packed engine, libtorch, ONNX Runtime in float32 and in 8-bit integers, and the PyTorch reference where it
// is installed, by turns, each in a process of its own:  dotnet fsi experiments/infer.fsx [--reference bench.py] [--runs 5] [--seconds 2] [--only WORDS]
// All of it takes a quarter of an hour on two cores. WORDS choose configurations by a part of their titles, such as "ReActNet-A" or "1 thread". The
// reference is a script that runs the paper's networks in PyTorch on 2 threads and prints JSON; shared/reference/bench.py beside the repository if no
// other is named.
#load "prelude.fsx"

open System
open System.IO
open NormFree.Reporting
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open Prelude

type Settings = { Reference: string; Runs: int; Seconds: int; Only: string }

/// Inference to measure; the networks are bn-free, both stages binary, with 10 classes, as the reference's are.
type Configuration = { Title: string; Arch: string; Batch: int; Image: int; Threads: int }

type Measured =
    { LatencyMs: float
      P95: float option
      ImagesPerSecond: float
      PeakMemoryMb: float
      Layout: string option }

/// Someone who runs that network.
type Candidate = { Name: string; Measure: Configuration -> Measured option }

let settings =
    settings
        "infer.fsx"
        [ path "--reference" (fun s file -> { s with Reference = file })
          count "--runs" (fun s n -> { s with Runs = n })
          count "--seconds" (fun s n -> { s with Seconds = n })
          text "--only" (fun s words -> { s with Only = words }) ]
        { Reference = beside "shared/reference/bench.py"; Runs = 5; Seconds = 2; Only = "" }

atRoot ()

let configurations =
    [ for title, arch, batch, image in
          [ "ReActNet-A, 224×224", "reactnet-a", 1, 224
            "ReActNet-18, 32×32", "reactnet-18", 1, 32
            "ReActNet-18, 32×32", "reactnet-18", 32, 32 ] do
          for threads, words in [ 1, "1 thread"; 2, "2 threads" ] do
              { Title = $"{title}, batch {batch}, {words}"
                Arch = arch
                Batch = batch
                Image = image
                Threads = threads } ]
    |> List.filter _.Title.Contains(settings.Only)

if configurations.IsEmpty then
    eprintfn $"No configuration has '{settings.Only}' in its title."
    exit 2

/// What the tool has told about itself and the machine; the same in every run but for the load.
let mutable environment: BenchEnvironment option = None

let ours engine =
    { Name = engine
      Measure =
        fun configuration ->
            let result: InferenceResult =
                [ "bench"; "infer"; "--arch"; configuration.Arch; "--norm"; "bn-free"; "--classes"; "10" ]
                @ [ "--image"; string configuration.Image; "--batch"; string configuration.Batch ]
                @ [ "--threads"; string configuration.Threads; "--engine"; engine ]
                @ [ "--seconds"; string settings.Seconds; "--json" ]
                |> output tool
                |> read

            environment <- Some(Option.defaultValue result.Environment environment)

            Some
                { LatencyMs = result.LatencyMs.Median
                  P95 = Some result.LatencyMs.P95
                  ImagesPerSecond = result.ImagesPerSecond
                  PeakMemoryMb = result.PeakMemoryMb
                  Layout = result.Layout } }

type ReferenceResult = { ImagesPerSecond: float; Seconds: float; PeakMemoryMb: float }

/// The reference's own inference, which makes its weights anew in every run; it always takes 2 threads.
let reference python =
    { Name = "reference"
      Measure =
        fun configuration ->
            if configuration.Threads <> 2 then
                None
            else
                let arch = if configuration.Arch = "reactnet-a" then "A" else "18"
                let sizes = [ configuration.Batch; configuration.Image; 20 ] |> List.map string

                let found: ReferenceResult =
                    read (output python ([ settings.Reference; arch; "aw" ] @ sizes @ [ "infer" ]))

                Some
                    { LatencyMs = 1000.0 * found.Seconds
                      P95 = None
                      ImagesPerSecond = found.ImagesPerSecond
                      PeakMemoryMb = found.PeakMemoryMb
                      Layout = None } }

let referenceOrWhyNot = pythonFor settings.Reference |> Result.map reference

let candidates =
    [ for engine in [ "packed"; "torch"; "onnxruntime"; "onnxruntime-int8" ] -> ours engine ]
    @ Option.toList (Result.toOption referenceOrWhyNot)

/// What every candidate did in every run; a run asks each of them once.
let measure configuration =
    [ for run in 1 .. settings.Runs do
          for candidate in candidates do
              match candidate.Measure configuration with
              | Some measured ->
                  printfn $"{configuration.Title}, run {run}, {candidate.Name}: {measured.LatencyMs:F2} ms"
                  candidate.Name, measured
              | None -> () ]
    |> List.groupBy fst
    |> List.map (fun (name, runs) -> name, List.map snd runs)

/// How many times as long as the packed engine, run by run, so that what slows the machine down for a while is in both.
let ratio (runs: Map<string, Measured list>) name =
    List.map2 (fun own packed -> own.LatencyMs / packed.LatencyMs) runs[name] runs["packed"]

let row (runs: Map<string, Measured list>) (name: string) =
    let own = runs[name]
    let layouts = own |> List.choose _.Layout |> List.distinct

    [ String.Join(", ", name :: layouts)
      own |> List.map _.LatencyMs |> spread 2
      match own |> List.choose _.P95 with
      | [] -> "-"
      | tails -> $"{(Spread.Of tails).Median:F2}"
      own |> List.map _.ImagesPerSecond |> spread 1
      if name = "packed" then "1" else spread 1 (ratio runs name)
      own |> List.map _.PeakMemoryMb |> spread 0 ]

let columns =
    [ "engine"
      "median latency, ms"
      "95 % below, ms"
      "images/s"
      "latency to packed"
      "peak memory, MB" ]

let section (configuration: Configuration, runs) =
    let table: Table = { Columns = columns; Rows = runs |> List.map (fst >> row (Map runs)) }
    [ $"## {configuration.Title}"; Report.markdownTable table ]

/// What a second thread brings to each engine: medians of all runs.
let scaling (all: (Configuration * (string * Measured list) list) list) =
    let latency threads name (one: Configuration) =
        all
        |> List.tryPick (fun (other, runs) ->
            if { one with Threads = threads; Title = "" } = { other with Title = "" } then
                runs
                |> List.tryFind (fst >> (=) name)
                |> Option.map (fun (_, runs) -> (runs |> List.map _.LatencyMs |> Spread.Of).Median)
            else
                None)

    let rows =
        [ for configuration, runs in all |> List.filter (fun (configuration, _) -> configuration.Threads = 1) do
              for name, _ in runs do
                  match latency 1 name configuration, latency 2 name configuration with
                  | Some one, Some two -> [ configuration.Title.Replace(", 1 thread", ""); name; $"{one / two:F2}" ]
                  | _ -> () ]

    if rows.IsEmpty then
        []
    else
        [ "## From 1 thread to 2"
          Report.markdownTable { Columns = [ "network"; "engine"; "times as fast" ]; Rows = rows } ]

let started = DateTime.UtcNow
let all = configurations |> List.map (fun configuration -> configuration, measure configuration)

[ "# Inference"
  $"Median (lowest–highest) of {settings.Runs} runs, taken by turns, each in a process of its own; a run is the median of at least {settings.Seconds} \
    seconds after a warm-up. The latency to packed is the ratio within each run. Peak memory is the whole process's, in MB of 2²⁰ bytes, libtorch and the \
    network's making included. Networks are bn-free and random, images are noise. torch is libtorch in float32 with all constants folded, in the faster of \
    its layouts; onnxruntime is ONNX Runtime on an exported file with all optimisations."
  machine environment started
  match referenceOrWhyNot with
  | Ok _ ->
      "The reference is the paper's algorithm in PyTorch, float32, which standardises its weights in every run; it takes 2 threads."
  | Error why -> $"The reference was left out: {why}."
  "```sh\n" + command "infer.fsx" given + "\n```"
  yield! all |> List.collect section
  yield! scaling all ]
|> List.filter (fun paragraph -> paragraph <> "")
|> fun paragraphs -> write "experiments/results/bench-infer.md" (String.Join("\n\n", paragraphs) + "\n")

printfn "Written: experiments/results/bench-infer.md"
