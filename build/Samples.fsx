/// The sample programs of experiments.
module Samples

#load "Commands.fsx"

open System.IO
open Fake.Core
open Commands

/// The sample page: artifacts/browser/wwwroot, for any web server. It needs the WebAssembly packs of the SDK's version; a feed without them leaves it out.
let publishBrowser () =
    let restored =
        CreateProcess.fromRawCommand "dotnet" [ "restore"; "experiments/browser"; "-v"; "quiet" ]
        |> CreateProcess.redirectOutput
        |> Proc.run

    if restored.ExitCode = 0 then
        publish "experiments/browser" "artifacts/browser" [ "--no-restore" ]
    else
        printfn $"experiments/browser is left out, since its packages cannot be restored: {restored.Result.Output}"

/// Compiles the classifier ahead of time, prints its size, and how long it takes from its start to its first prediction with the demo's network.
let compileClassifier () =
    let folder = "artifacts/classify"
    publish "experiments/classify" folder [ "-p:IlcInstructionSet=native" ]
    let program = Path.Combine(root, folder, "classify")
    printfn $"{program}: {float (FileInfo(program).Length) / 1e6:F1} MB"
    let packed = Path.Combine(folder, "demo.packed.safetensors")
    let checkpoint = "artifacts/demo/bn-free/stage2.best.safetensors"
    run "artifacts/normfree/normfree" [ "export"; "--checkpoint"; checkpoint; "--format"; "packed"; "--out"; packed ]

    for _ in 1..3 do
        run program [ packed; "docs/demo.png"; "--time"; "--top"; "1" ]
