/// Networks in float64, and how far their results may differ.
module NormFree.Tests.Training.NetworkSupport

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support
open TorchSharp

let title net = $"{normName net}, {(Net.tryBinary net).Value.Binarise |> Names.binarise}"

let create net = Network.create torch.ScalarType.Float64 Rule.Corrected 3L net

let logits (network: Network) mode images =
    use _ = torch.no_grad ()
    Agreement.values (network.Forward(images, mode))

let maxDifference (a: float[]) (b: float[]) = Array.map2 (fun x y -> abs (x - y)) a b |> Array.max

/// The largest difference by rounding, and the smallest real difference.
let rounding, apart = 1e-12, 1e-3
