namespace NormFree.Reporting

open NormFree.Runs
open NormFree.Spec

/// What networks cost, for a page.
module internal DeploymentView =

    let private bytes (count: int64) =
        if count >= 1_000_000L then
            $"{float count / 1e6:f2} MB"
        else
            $"{float count / 1e3:f1} kB"

    let private floats (cost: Cost) = 4L * cost.Parameters

    let private millions (value: float) =
        if value >= 1e9 then $"{value / 1e9:f2} G"
        elif value >= 1e6 then $"{value / 1e6:f2} M"
        elif value >= 1e3 then $"{value / 1e3:f1} k"
        else $"{value:f0}"

    let private count (value: int64) = if value = 0L then RunTable.missing else millions (float value)

    let private milliseconds (value: float) = if value >= 10.0 then $"{value:f1} ms" else $"{value:f2} ms"
    let private times (more: float) (less: float) = $"{more / less:f1}×"

    /// The few numbers that say most of it.
    let facts (deployment: Deployment) : Fact list =
        let total = deployment.Summary.Total

        [ { Label = "Packed file"
            Value = bytes deployment.PackedBytes
            Note =
              $"{times (float (floats total)) (float deployment.PackedBytes)} smaller than {bytes (floats total)} of floats" }
          { Label = "Operations an image"
            Value = millions total.Ops
            Note =
              $"{millions (float (total.BinaryMacs + total.MixedMacs + total.RealMacs))} multiply-accumulates if all were real" }
          match deployment.Speed with
          | None -> ()
          | Some speed ->
              { Label = "One image"
                Value = milliseconds speed.PackedMs
                Note =
                  $"{times speed.FloatMs speed.PackedMs} as fast as libtorch in float32, {milliseconds speed.FloatMs}" } ]

    let private row (label, deployment: Deployment) =
        let total = deployment.Summary.Total

        let speed pick = deployment.Speed |> Option.map pick |> Option.defaultValue RunTable.missing

        [ label
          $"{deployment.Summary.Net.Name}, {deployment.Pixels}×{deployment.Pixels}"
          bytes (floats total)
          bytes deployment.PackedBytes
          speed (fun s -> milliseconds s.FloatMs)
          speed (fun s -> milliseconds s.PackedMs)
          millions total.Ops
          count total.BinaryMacs
          count total.MixedMacs
          count total.RealMacs
          count total.BinaryParameters
          count total.RealParameters ]

    /// A row a network.
    let table (deployments: (string * Deployment) list) : Table =
        { Columns =
            [ "run"
              "network"
              "as floats"
              "packed"
              "an image, float32"
              "packed"
              "OPs"
              "1-bit MACs"
              "real×1-bit"
              "real MACs"
              "1-bit params"
              "real params" ]
          Rows = deployments |> List.map row }

    let private bits operands =
        let one precision = if precision = OneBit then "1" else "32"

        match operands with
        | Some(activation, weight) -> $"{one activation}×{one weight}"
        | None -> "32×32"

    /// Each layer's cost.
    let layers (deployment: Deployment) : Table =
        let summary = deployment.Summary

        { Columns = [ "layer"; "output"; "bits"; "1-bit MACs"; "real and mixed MACs"; "OPs"; "packed" ]
          Rows =
            [ for layer in summary.Layers ->
                  [ layer.Name
                    string layer.Output
                    bits layer.Operands
                    count layer.Cost.BinaryMacs
                    count (layer.Cost.RealMacs + layer.Cost.MixedMacs)
                    millions layer.Cost.Ops
                    $"{float layer.Cost.PackedBytes / 1024.0:f1} KiB" ] ] }

    /// How the speed was measured.
    let how (speed: Speed) =
        $"Speed: single images of noise, {speed.Threads} threads, medians of {speed.PackedRuns} and {speed.FloatRuns} runs, on the machine that \
          wrote this page ({speed.Machine}). libtorch has all constants folded, in the faster of its two layouts. Operations (OPs) are real \
          multiply-accumulates plus those of one bit over 64, as the ReActNet papers count."
