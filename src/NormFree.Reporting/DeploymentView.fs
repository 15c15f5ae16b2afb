namespace NormFree.Reporting

open NormFree.Runs
open NormFree.Spec

/// Deployment costs as facts and tables.
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

    /// The headline numbers of one network.
    let facts (deployment: Deployment) : Fact list =
        let total = deployment.Summary.Total

        [ { Label = "Packed file"
            Value = bytes deployment.PackedBytes
            Note =
              $"{times (float (floats total)) (float deployment.PackedBytes)} smaller than {bytes (floats total)} in float32" }
          { Label = "Operations per image"
            Value = millions total.Ops
            Note =
              $"{millions (float (total.BinaryMacs + total.MixedMacs + total.RealMacs))} multiply-accumulates at full precision" }
          match deployment.Speed with
          | None -> ()
          | Some speed ->
              { Label = "Latency per image"
                Value = milliseconds speed.PackedMs
                Note =
                  $"{times speed.FloatMs speed.PackedMs} faster than libtorch in float32 ({milliseconds speed.FloatMs})" } ]

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

    /// One row per network.
    let table (deployments: (string * Deployment) list) : Table =
        { Columns =
            [ "run"
              "network"
              "float32 size"
              "packed size"
              "float32 latency"
              "packed latency"
              "OPs"
              "1-bit MACs"
              "real×1-bit MACs"
              "real MACs"
              "1-bit params"
              "real params" ]
          Rows = deployments |> List.map row }

    let private bits operands =
        let one precision = if precision = OneBit then "1" else "32"

        match operands with
        | Some(activation, weight) -> $"{one activation}×{one weight}"
        | None -> "32×32"

    /// One row per layer.
    let layers (deployment: Deployment) : Table =
        let summary = deployment.Summary

        { Columns = [ "layer"; "output"; "bits"; "1-bit MACs"; "real and mixed MACs"; "OPs"; "packed size" ]
          Rows =
            [ for layer in summary.Layers ->
                  [ layer.Name
                    string layer.Output
                    bits layer.Operands
                    count layer.Cost.BinaryMacs
                    count (layer.Cost.RealMacs + layer.Cost.MixedMacs)
                    millions layer.Cost.Ops
                    $"{float layer.Cost.PackedBytes / 1024.0:f1} KiB" ] ] }

    /// Describes the measurement.
    let measurement (speed: Speed) =
        $"Latency of single random images on {speed.Threads} threads: medians of {speed.PackedRuns} (packed) and {speed.FloatRuns} (float32) runs \
          on the machine that wrote this page ({speed.Machine}). libtorch runs with all constants folded, in the faster of its two memory layouts. \
          Operations (OPs) are real multiply-accumulates plus 1/64 of the 1-bit ones, as in the ReActNet papers."
