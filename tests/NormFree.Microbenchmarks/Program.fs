module NormFree.Benchmarks.Program

open System
open NormFree.Torch.Native
open NormFree.Runs
open NormFree.Networks
open NormFree.Packing
open NormFree.Training
open TorchSharp

let private benchmarks =
    [ "layers", "forward and backward pass of each composite layer", Layers.run
      "step", "a training step of ReActNet-18 in every norm and stage", Step.run
      "telemetry", "a look inside the layers of ReActNet-18, beside a training step", TelemetryCost.run
      "parameters", "filters, clipping and optimiser steps on ReActNet-18's parameters", ParameterWork.run
      "packing", "packing of signs, one thread, every instruction set", Packing.run ]

let private help () =
    printfn "Measures NormFree, and prints Markdown: NormFree.Benchmarks [NAME …]\n"
    printfn "Without names all run, in some three minutes on a machine that does nothing else:"

    for name, what, _ in benchmarks do
        printfn $"  {name, -12}{what}"

let private header () =
    let date = DateTime.UtcNow.ToString "yyyy-MM-dd HH:mm"
    let threads = torch.get_num_threads ()
    let machine = $"{Machine.processor.Value}, {Environment.ProcessorCount} processors"
    // From about the number of processors, no figure can be trusted.
    let load = Machine.load () |> Option.map string |> Option.defaultValue "unknown"
    printfn $"{machine}, load {load} before the run, {threads} torch threads, .NET {Environment.Version}, {date} UTC\n"

[<EntryPoint>]
let main arguments =
    let known = benchmarks |> List.map (fun (name, _, _) -> name)
    let names = List.ofArray arguments

    match names |> List.filter (fun name -> not (List.contains name known)) with
    | [ "--help" ]
    | [ "-h" ] ->
        help ()
        0
    | [] ->
        TorchNative.Ensure()
        header ()

        for name, _, run in benchmarks do
            if names.IsEmpty || List.contains name names then
                run ()

        0
    | unknown ->
        let list = String.Join(", ", known)
        eprintfn $"""There is no benchmark {String.Join(", ", unknown)}; there are: {list}."""
        2
