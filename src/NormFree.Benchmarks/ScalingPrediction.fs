namespace NormFree.Benchmarks

open System
open System.Globalization
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

/// <summary>Predicts the training speed of many nodes from the steps on the page of <c>TrainingComparison</c>.</summary>
[<RequireQualifiedAccess>]
module ScalingPrediction =

    /// The paper's batch.
    let private batch = 256

    let private nodes = [ 1; 8; 64; 512 ]

    let private links: (string * NetworkLink) list =
        [ "10 Gbit/s Ethernet", { BandwidthGbit = 10.0; LatencyUs = 50.0 }
          "100 Gbit/s InfiniBand", { BandwidthGbit = 100.0; LatencyUs = 3.0 } ]

    /// <summary>Milliseconds of the fused float32 engine under a heading of the page: data and forward pass, backward pass, clipping and
    /// optimiser.</summary>
    /// <remarks>Throws TrainingException if the page lacks them.</remarks>
    let phases (page: string) (heading: string) : float * float * float =
        let row =
            page.Split '\n'
            |> Seq.skipWhile ((<>) $"## {heading}")
            |> Seq.tryFind _.StartsWith("| fused, float32 |", StringComparison.Ordinal)
            |> Option.defaultValue ""

        let cells =
            row.Split('|', StringSplitOptions.TrimEntries)
            |> Seq.skip (min 7 (row.Split('|').Length))
            |> Seq.truncate 5

        match [ for cell in cells -> Double.TryParse(cell, CultureInfo.InvariantCulture) ] with
        | [ (true, data); (true, forward); (true, backward); (true, clip); (true, step) ] ->
            data + forward, backward, clip + step
        | _ -> raise (TrainingException $"The page of the training comparison has no phases under '{heading}'.")

    /// A model from one measured batch, or from two if they differ. The published recipe does not centre signs.
    let private model page net (images, heading) (fewer, headingOfFewer) : StepModel =
        let forward, backward, update = phases page heading
        let forwardOfFewer, backwardOfFewer, _ = phases page headingOfFewer

        { Forward = Scaling.line (images, forward) (fewer, forwardOfFewer)
          Backward = Scaling.line (images, backward) (fewer, backwardOfFewer)
          Update = update
          Messages = Scaling.messages net
          SignCentering = None }

    let private stage2 net = net |> Net.withNorm (BnFree Defaults.Alpha) |> Net.withBinarise ActivationsAndWeights

    let private models page =
        let large, small, imageNet =
            "ReActNet-18, 32×32, batch 128, activations+weights",
            "ReActNet-18, 32×32, batch 64, activations+weights",
            "ReActNet-A, 224×224, batch 8, activations+weights"

        [ "ReActNet-18, 32×32",
          model
              page
              (stage2 (ReActNet.reactNet18 Size.Full CifarStem |> Net.withClasses 10))
              (128.0, large)
              (64.0, small)
          "ReActNet-A, 224×224",
          model page (stage2 (ReActNet.reactNetA Size.Full ImageNetStem)) (8.0, imageNet) (8.0, imageNet) ]

    let private columns =
        [ "nodes"
          "batch"
          "images per node"
          "step, ms"
          "exchange, ms"
          "exposed, ms"
          "images/s"
          "efficiency" ]

    let private row (p: Prediction) =
        [ string p.Nodes
          string p.Batch
          string p.ImagesPerNode
          $"{p.StepMs:F1}"
          $"{p.ExchangeMs:F1}"
          $"{p.ExposedMs:F1}"
          $"{p.ImagesPerSecond:F0}"
          $"{100.0 * p.Efficiency:F0} %%" ]

    let private section (name, model: StepModel) =
        let bytes = model.Messages |> List.sumBy fst

        [ $"## {name}, BN-free, stage 2: {bytes / 1e6:F1} MB in {model.Messages.Length} messages"
          for link, costs in links do
              let table = Scaling.table model costs batch batch nodes

              for rows, what in [ table.SameBatch, "split over all nodes"; table.BatchPerNode, "on each node" ] do
                  $"**{link}, {costs.LatencyUs} µs; the paper's batch {what}**"
                  ToolComparison.table columns (List.map row rows) ]

    /// <summary>The Markdown page of predictions, from the page of the training comparison.</summary>
    let page (command: string) (trainingPage: string) : string =
        [ "# Predicted scaling"
          "Predicted from the steps in [bench-train.md](bench-train.md): every node is like that machine of 2 cores. \
           [docs/scale.md](../../docs/scale.md) describes and validates the model."
          ToolComparison.codeBlock command
          for model in models trainingPage do
              yield! section model ]
        |> ToolComparison.page
