/// Names and types of the fused engine's tests.
module NormFree.Tests.Training.FusedEngineSupport

open System
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Torch
open NormFree.Runs
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Training.Support
open TorchSharp

let single = torch.ScalarType.Float32

let title net =
    let binarise =
        match Net.tryBinary net with
        | Some body ->
            match Net.shortcutWeights net with
            | None
            | Some WeightBinariser.Binary -> Names.binarise body.Binarise
            | Some weights -> $"{Names.binarise body.Binarise}, {Names.weights weights} shortcuts"
        | None -> "real"

    $"{net.Name}, {normName net}, {binarise}"
