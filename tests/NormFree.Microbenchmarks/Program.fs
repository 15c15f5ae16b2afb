module NormFree.Microbenchmarks.Program

open System
open NormFree.Networks
open NormFree.Torch.Native
open TorchSharp

let private benchmarks =
    [ "layers", "forward and backward passes of the composite layers", Layers.run
      "step", "training steps of ReActNet-18 in every norm and stage", Step.run
      "telemetry", "the cost of telemetry in training steps of ReActNet-18", TelemetryCost.run
      "parameters", "filters, clipping and optimisers on ReActNet-18's parameters", ParameterWork.run
      "packing", "sign packing on one thread with every instruction set", Packing.run ]

let private list (items: (string * string) list) =
    for name, summary in items do
        printfn $"  {name, -19}{summary}"

let private help () =
    printfn "Measures parts of NormFree and prints Markdown: NormFree.Microbenchmarks [NAME …]\n"
    printfn "All benchmarks together take about three minutes on an idle machine:"
    list [ for name, summary, _ in benchmarks -> name, summary ]

    printfn
        "\nComparisons of whole programs write a page into experiments/results: NormFree.Microbenchmarks NAME [OPTIONS]\n"

    list Comparisons.summaries

/// At a load near the number of processors, the measurements are unreliable.
let private header () =
    let load = Machine.load () |> Option.map string |> Option.defaultValue "unknown"
    let date = DateTime.UtcNow.ToString "yyyy-MM-dd HH:mm"

    printfn
        $"{Machine.processor.Value}, {Environment.ProcessorCount} processors, load {load} before the run, {torch.get_num_threads ()} torch threads, \
          .NET {Environment.Version}, {date} UTC\n"

let private measure names =
    let known = benchmarks |> List.map (fun (name, _, _) -> name)

    match List.except known names with
    | [] ->
        header ()

        for name, _, run in benchmarks do
            if names.IsEmpty || List.contains name names then
                run ()

        0
    | unknown ->
        let all = known @ List.map fst Comparisons.summaries
        eprintfn $"""Unknown benchmark: {String.Join(", ", unknown)}. Available: {String.Join(", ", all)}."""
        2

[<EntryPoint>]
let main arguments =
    match List.ofArray arguments with
    | [ "--help" ]
    | [ "-h" ] ->
        help ()
        0
    | names ->
        TorchNative.Ensure()

        match names with
        | name :: options -> Comparisons.tryRun name options |> Option.defaultWith (fun () -> measure names)
        | [] -> measure []
