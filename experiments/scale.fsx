// How many nodes would train: predictions from the steps that experiments/bench.fsx has measured, over two wires:
//   dotnet fsi experiments/scale.fsx
// It reads results/bench-train.md and writes results/scale.md. On nodes of your own, measure and predict at once:
//   mpirun -n 2 --host a,b normfree bench train --arch reactnet-18 --batch 256 --predict 1,8,64,512
#load "prelude.fsx"

open System
open System.Globalization
open System.IO
open NormFree.Spec
open NormFree.Training
open Prelude

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
      Messages = Scaling.messages net }

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
