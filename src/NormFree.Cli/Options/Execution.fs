/// Options of how the work is done.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.Options.Execution

open NormFree.Cli
open System
open NormFree.Kernels.Simd
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Benchmarks

let private executionGroup option = Opt.group "Execution" option

let engine =
    Opt.choice "--engine" "NAME" [ "fused", Fused; "composite", Composite ] "Engine (composite is torch's own)."
    |> Opt.defaultsTo "fused"
    |> executionGroup

/// Never more than the processor has.
let instructions =
    let names = [ for set in Enum.GetValues<InstructionSet>() -> (string set).ToLowerInvariant(), set ]

    Opt.choice "--instructions" "SET" names "Instruction set." |> executionGroup

/// The engine for a file. Without it the file decides.
let computeEngine =
    Opt.choice
        "--engine"
        "NAME"
        [ "fused", Trained Execution.Default
          "composite", Trained Execution.Portable
          "packed", PackedEngine ]
        "Engine (default: fused, or packed for packed files)."
    |> executionGroup

let inferenceEngine =
    Opt.choice
        "--engine"
        "NAME"
        [ "packed", InferenceEngine.Packed
          "torch", InferenceEngine.Torch
          "onnxruntime", InferenceEngine.OnnxRuntime
          "onnxruntime-int8", InferenceEngine.OnnxRuntimeInt8 ]
        "Engine."
    |> Opt.defaultsTo "packed"
    |> executionGroup

let precision =
    Opt.choice "--precision" "NAME" [ "float32", Float32; "bf16", BFloat16 ] "Precision of fused convolutions."
    |> Opt.defaultsTo "float32"
    |> executionGroup

/// Whether tensors are computed in float64.
let isDouble =
    Opt.choice "--precision" "TYPE" [ "float32", false; "float64", true ] "Number format for --input."
    |> Opt.defaultsTo "float32"
    |> executionGroup

let device =
    Opt.choice "--device" "NAME" [ "cpu", Cpu; "cuda", Cuda ] "Device (cuda needs --engine composite)."
    |> Opt.defaultsTo "cpu"
    |> executionGroup

let threads =
    Opt.threads "--threads" "Threads that compute (default: all processors)." |> executionGroup

let workers = Opt.threads "--workers" "Threads that read images." |> executionGroup

let accumulate =
    Opt.whole "--accumulate" "N" Limits.accumulate "Parts of a batch, one after another, to save memory."
    |> Opt.defaultsTo "1"
    |> executionGroup

let ranks =
    Opt.whole "--ranks" "N" Limits.ranks "Ranks to start with mpirun (default: one for each host, or 1)."
    |> executionGroup

let hosts =
    Opt.custom
        "--hosts"
        "LIST"
        ValueKind.Text
        "names separated by commas"
        "Hosts on which mpirun starts ranks, one for each name."
        (fun text ->
            match text.Split ',' |> Array.toList with
            | names when names |> List.forall (String.IsNullOrWhiteSpace >> not) -> Some names
            | _ -> None)
    |> executionGroup

let restarts =
    Opt.whole
        "--restarts"
        "N"
        Limits.restarts
        "Restarts after a failure, each with one rank fewer, from the last checkpoint."
    |> Opt.defaultsTo "0"
    |> executionGroup

let minRanks =
    Opt.whole "--min-ranks" "N" Limits.ranks "Fewest ranks of a restart."
    |> Opt.defaultsTo "1"
    |> executionGroup

let rankTimeout =
    Opt.real
        "--rank-timeout"
        "SECONDS"
        "seconds from 2 to 86400"
        (Opt.between 2.0 86400.0)
        "Time after which a missing rank ends an mpirun job."
    |> Opt.defaultsTo "30"
    |> executionGroup
