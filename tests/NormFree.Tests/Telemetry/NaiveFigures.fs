/// Reference implementations of telemetry, by loops over float64 values.
module NormFree.Tests.Telemetry.NaiveFigures

open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open TorchSharp

/// A map's values by channel.
let private byChannel (map: torch.Tensor) =
    let values, shape = Agreement.values map, [| for axis in 0..3 -> int (map.size axis) |]
    let pixels = shape[2] * shape[3]

    [| for c in 0 .. shape[1] - 1 ->
           [| for n in 0 .. shape[0] - 1 do
                  for p in 0 .. pixels - 1 -> values[(n * shape[1] + c) * pixels + p] |] |]

/// β·x + b by channel, rounded to float32 if x is float32.
let shifted (x: torch.Tensor) (beta: float) (shift: torch.Tensor) =
    let b = Agreement.values shift

    let one (c: int) value =
        if x.dtype = torch.ScalarType.Float32 then
            let product = float32 value * float32 beta
            float (product + float32 b[c])
        else
            value * beta + b[c]

    byChannel x |> Array.mapi (fun c -> Array.map (one c))

/// Statistics of a layer's input: means, variances and shares of +1 by channel, and the share inside the window.
let input (x: torch.Tensor) beta shift =
    let share isIn (values: float[]) = float (values |> Array.filter isIn |> Array.length) / float values.Length
    let shifted = shifted x beta shift

    let variance (values: float[]) =
        let mean = Array.average values
        values |> Array.averageBy (fun value -> (value - mean) * (value - mean))

    let channels = byChannel x

    {| Mean = channels |> Array.map Array.average
       Variance = channels |> Array.map variance
       Positive = shifted |> Array.map (share (fun t -> t >= 0.0))
       Window = shifted |> Array.concat |> share (fun t -> t >= -1.0 && t < 1.0) |}

/// The input of every part of a network, computed by the composite engine.
let inputs (network: Network) mode (images: torch.Tensor) =
    use _ = torch.no_grad ()
    let tensors = dict network.Tensors |> System.Collections.Generic.Dictionary
    let engine = CompositeEngine.OfTorch((fun () -> 0.0), tensors)
    let parts = Lowering.parts network.Spec

    (images, parts)
    ||> List.scan (fun x (_, graph) -> engine.Run(mode, graph, x))
    |> List.truncate parts.Length
    |> List.zip (List.map fst parts)
    |> dict

/// A tensor's values, filter by filter.
let filters (tensor: torch.Tensor) =
    let values = Agreement.values tensor
    values |> Array.chunkBySize (values.Length / int (tensor.size 0))

/// The signs of filters, with or without standardisation.
let signs standardised (filters: float[][]) =
    [| for filter in filters do
           let mean = if standardised then Array.average filter else 0.0

           for weight in filter -> weight - mean >= 0.0 |]

/// The share of values that differ.
let flips (before: 'a[]) (after: 'a[]) =
    float (Array.zip before after |> Array.filter (fun (a, b) -> a <> b) |> Array.length)
    / float before.Length

let norm (values: float[]) = values |> Array.sumBy (fun value -> value * value) |> sqrt
