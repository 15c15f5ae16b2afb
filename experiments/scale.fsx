// How many nodes would train: predictions from the steps that experiments/bench.fsx has measured, over two wires:
//   dotnet fsi experiments/scale.fsx
// It reads results/bench-train.md and writes results/scale.md. On nodes of your own, measure and predict at once:
//   mpirun -n 2 --host a,b normfree bench train --arch reactnet-18 --batch 256 --predict 1,8,64,512
// With --local N it also measures one and two processes of this machine, with a thread each and N steps a run, and writes results/scale-local.md. That takes
// about two minutes on two cores that have no other work:
//   dotnet fsi experiments/scale.fsx --local 5
#load "prelude.fsx"

open System
open System.Globalization
open System.IO
open NormFree.Reporting
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Benchmarks
open Prelude

type Settings = { Local: int option }

let settings = settings "scale.fsx" [ count "--local" (fun _ n -> { Local = Some n }) ] { Local = None }

let results name = Path.Combine(__SOURCE_DIRECTORY__, "results", name)

/// The paper's batch.
let batch = 256
let nodes = [ 1; 8; 64; 512 ]

let wires =
    [ "10 Gbit/s Ethernet", { BandwidthGbit = 10.0; LatencyUs = 50.0 }
      "100 Gbit/s InfiniBand", { BandwidthGbit = 100.0; LatencyUs = 3.0 } ]

/// Data and forward pass, backward pass, clipping and step of the fused engine in float32, in milliseconds, under that heading.
let phases heading =
    let rows =
        File.ReadLines(results "bench-train.md")
        |> Seq.skipWhile ((<>) $"## {heading}")
        |> Seq.find _.StartsWith("| fused, float32 |")

    let cells = rows.Split('|', StringSplitOptions.TrimEntries) |> Array.skip 7 |> Array.truncate 5

    match [ for cell in cells -> Double.Parse(cell, CultureInfo.InvariantCulture) ] with
    | [ data; forward; backward; clip; step ] -> data + forward, backward, clip + step
    | _ -> failwith $"results/bench-train.md has no phases under '{heading}'."

/// A step's model from two batches that were measured, or from one and the origin.
let model net (images, heading) (fewer, headingOfFewer) : StepModel =
    let forward, backward, update = phases heading
    let forwardOfFewer, backwardOfFewer, _ = phases headingOfFewer

    { Forward = Scaling.line (images, forward) (fewer, forwardOfFewer)
      Backward = Scaling.line (images, backward) (fewer, backwardOfFewer)
      Update = update
      Messages = Scaling.messages net
      // The steps are the published recipe's, which keeps no balance.
      Balance = None }

let stage2 net = net |> Net.withNorm (BnFree 0.2) |> Net.withBinarise ActivationsAndWeights

let networks =
    [ "ReActNet-18, 32×32",
      model
          (stage2 (ReActNet.reactNet18 Size.Full CifarStem |> Net.withClasses 10))
          (128.0, "ReActNet-18, 32×32, batch 128, activations+weights")
          (64.0, "ReActNet-18, 32×32, batch 64, activations+weights")
      "ReActNet-A, 224×224",
      model
          (stage2 (ReActNet.reactNetA Size.Full ImageNetStem))
          (8.0, "ReActNet-A, 224×224, batch 8, activations+weights")
          (8.0, "ReActNet-A, 224×224, batch 8, activations+weights") ]

let row (found: Prediction) =
    $"| {found.Nodes} | {found.Batch} | {found.ImagesPerNode} | {found.StepMs:F1} | {found.ExchangeMs:F1} | {found.ExposedMs:F1} | {found.ImagesPerSecond:F0} | {100.0 * found.Efficiency:F0} %% |"

let table title (rows: Prediction list) =
    [ $"**{title}**"
      ""
      "| nodes | batch | images a node | step, ms | exchange, ms | waited for, ms | images/s | efficiency |"
      "|---|---|---|---|---|---|---|---|"
      yield! List.map row rows
      "" ]

let text =
    [ "# Many nodes, predicted"
      ""
      "Written by `dotnet fsi experiments/scale.fsx` from the steps in [bench-train.md](bench-train.md): nodes are that machine of 2 cores."
      "The model is described, and checked, in [docs/scale.md](../../docs/scale.md)."
      ""
      for name, model in networks do
          let bytes = model.Messages |> List.sumBy fst

          $"## {name}, bn-free, stage 2: {bytes / 1e6:F1} MB in {model.Messages.Length} messages"
          ""

          for wire, costs in wires do
              let found = Scaling.table model costs batch batch nodes
              yield! table $"{wire}, {costs.LatencyUs} µs; the paper's batch for all nodes together" found.SameBatch
              yield! table $"{wire}, {costs.LatencyUs} µs; the paper's batch for each node" found.BatchPerNode ]

File.WriteAllLines(results "scale.md", text)
printfn "Written: experiments/results/scale.md"

/// Processes of this machine, and their batch together: as large as one's, and as large for each.
let localJobs = [ 1, 32; 1, 64; 2, 64; 2, 128 ]

let localRuns = 3

/// One measurement by that many processes, of which mpirun starts several.
let local steps (processes, batch) : BenchResult =
    let bench =
        [ "bench"; "train"; "--arch"; "reactnet-18"; "--batch"; string batch ]
        @ [ "--threads"; "1"; "--steps"; string steps; "--json" ]

    let mpirun =
        [ "-n"; string processes; "--oversubscribe"; "--bind-to"; "none"; "--mca"; "btl"; "self,vader,tcp" ]

    let text =
        if processes = 1 then
            output tool bench
        else
            output "mpirun" (mpirun @ (tool :: bench))

    read text

let median pick (results: BenchResult list) = (results |> List.map pick |> Spread.Of).Median

/// The run of median speed, of an odd number of them.
let middle (results: BenchResult list) =
    results |> List.sortBy _.ImagesPerSecond.Median |> List.item (results.Length / 2)

/// What the model makes of the two batches of one process, and of the wire that the processes have measured.
let localPrediction (runs: Map<int * int, BenchResult list>) (processes, batch) =
    let wire =
        match runs[processes, batch] |> List.choose _.Exchange with
        | [] -> snd wires.Head
        | costs ->
            let median pick = (costs |> List.map pick |> Spread.Of).Median
            { BandwidthGbit = median _.NetworkLink.BandwidthGbit; LatencyUs = median _.NetworkLink.LatencyUs }

    let model = Scaling.model ReActNet.cifar18 (middle runs[1, 64]) (middle runs[1, 32])
    Scaling.predict model wire batch processes

let localRow (runs: Map<int * int, BenchResult list>) (processes, batch) =
    let own = runs[processes, batch]
    let costs pick = own |> List.choose _.Exchange |> List.map pick
    let cost digits pick = if processes = 1 then "-" else spread digits (costs pick)
    let speed = median _.ImagesPerSecond.Median own
    // One process with as many images as each of these has.
    let alone = median _.ImagesPerSecond.Median runs[1, batch / processes]

    [ string processes
      string batch
      own |> List.map _.ImagesPerSecond.Median |> spread 1
      $"{100.0 * speed / (float processes * alone):F0} %%"
      $"{(localPrediction runs (processes, batch)).ImagesPerSecond:F1}"
      own |> List.map (fun r -> r.PhaseMs.Data + r.PhaseMs.Forward) |> spread 1
      own |> List.map _.PhaseMs.Backward |> spread 1
      own |> List.map (fun r -> r.PhaseMs.Clip + r.PhaseMs.Step) |> spread 1
      own |> List.map _.PhaseMs.Exchange |> spread 1
      cost 1 (fun c -> float c.Bytes / 1e6)
      cost 1 _.BusyMs
      cost 0 (fun c -> 100.0 * c.Overlap)
      cost 1 _.NetworkLink.BandwidthGbit
      cost 0 _.NetworkLink.LatencyUs ]

let localColumns =
    [ "processes"; "batch"; "images/s"; "of as many alone"; "predicted images/s" ]
    @ [ "data and forward, ms"; "backward, ms"; "clip and step, ms"; "waited, ms" ]
    @ [ "sums, MB"; "under way, ms"; "hidden, %"; "wire, Gbit/s"; "latency, µs" ]

/// All runs of each of the jobs, which take turns.
let measureLocal steps =
    // mpirun refuses root otherwise.
    for name in [ "OMPI_ALLOW_RUN_AS_ROOT"; "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM" ] do
        Environment.SetEnvironmentVariable(name, "1")

    [ for run in 1..localRuns do
          for job in localJobs do
              let result = local steps job
              printfn $"{fst job} processes, batch {snd job}, run {run}: {result.ImagesPerSecond.Median:F1} images/s"
              job, result ]
    |> List.groupBy fst
    |> List.map (fun (job, found) -> job, List.map snd found)
    |> Map

let writeLocal steps started (runs: Map<int * int, BenchResult list>) =
    let table: Table = { Columns = localColumns; Rows = localJobs |> List.map (localRow runs) }

    [ "# One and two processes of one machine"
      $"Median (lowest–highest) of {localRuns} runs, taken by turns; a run is the median of {steps} steps of ReActNet-18 on 32×32 images, bn-free, stage 2, \
        the corrected recipe with its balance, one thread a process. Processes tell one another their sums through shared memory. Predicted are the model's \
        steps from one process with 32 and 64 images, each in its run of median speed, and the wire as it was measured."
      machine (Some runs[localJobs.Head].Head.Environment) started
      "```sh\n" + command "scale.fsx" given + "\n```"
      Report.markdownTable table ]
    |> fun paragraphs -> write (results "scale-local.md") (String.Join("\n\n", paragraphs) + "\n")

    printfn "Written: experiments/results/scale-local.md"

settings.Local
|> Option.iter (fun steps ->
    let started = DateTime.UtcNow
    measureLocal steps |> writeLocal steps started)
