// Builds, tests and runs NormFree:  dotnet fsi build.fsx [-t TARGET]
// `--list` names the targets. The folder build holds what they do.
#r "nuget: Fake.Core.Target, 5.20.3"
#load "build/Commands.fsx"
#load "build/Feed.fsx"
#load "build/Platforms.fsx"
#load "build/Tests.fsx"
#load "build/Coverage.fsx"
#load "build/Samples.fsx"
#load "build/Site.fsx"

open System
open System.IO
open Fake.Core
open Fake.Core.TargetOperators
open Commands

let arguments = fsi.CommandLineArgs |> Array.skip 1 |> Array.toList
Environment.CurrentDirectory <- root

Context.setExecutionContext (
    Context.RuntimeContext.Fake(Context.FakeExecutionContext.Create false "build.fsx" arguments)
)

let target name action = Target.create name (fun _ -> action ())

// Build

target "Restore" Feed.restore
target "Update" Feed.update
target "Build" (fun () -> build "Hybrid.sln")
target "BuildTool" (fun () -> build "src/NormFree.Cli")

target "Clean" (fun () ->
    if Directory.Exists "artifacts" then
        Directory.Delete("artifacts", true)

    dotnet [ "clean"; "Hybrid.sln"; "-c"; "Release"; "-v"; "quiet" ])

/// With the programs that tests run: the tool, the sample page, and the ones that tests/NormFree.Tests names.
target "BuildTests" (fun () ->
    build "tests/NormFree.Tests"
    Samples.publishBrowser ())

// Test

target "Test" (fun () -> Tests.run [])

/// What takes minutes: kills of the tool, memory over thousands of steps, and the packages.
target "Soak" (fun () -> Tests.run [ "--soak" ])

/// Coverage-guided fuzzing of every reader with Debian's afl++:  -t Fuzz [MINUTES for each target, 2 by default] [TARGET…]
/// A target resumes where its last campaign ended.
Target.create "Fuzz" (fun parameter ->
    let arguments = parameter.Context.Arguments
    let program = [ "run"; "--project"; "tests/NormFree.Fuzz"; "-c"; "Release"; "--"; "campaign" ]
    dotnet (program @ (if arguments.IsEmpty then [ "2" ] else arguments)))

/// Branch coverage of the quick tests by project:  -t Coverage [LIST…, for example NormFree.Formats]
/// -t Coverage readers  compares the branches of Formats and Archives that no test takes with the list in docs/proof.md.
Target.create "Coverage" (fun parameter -> Coverage.measure parameter.Context.Arguments)

/// Mutation testing of a C# library:  -t Mutate PROJECT [COUNT [SEED [LIST…]]]
/// The faults of tests/planted:  -t Mutate Distributed planted "NormFree.Distributed.simulated ranks"
Target.create "Mutate" (fun parameter -> dotnet ([ "fsi"; "tests/mutate.fsx" ] @ parameter.Context.Arguments))

target "Arm" Tests.onArm
target "AdvSimd" Tests.advSimd
target "OtherPlatforms" Platforms.checkOthers

/// What .ci/run runs: the quick tests, the kernels that no x86-64 processor can run, and the tool for the platforms that this machine is not.
target "Ci" ignore

target "Approve" Tests.approve

let format check =
    let fantomas = [ "fantomas"; "src"; "tests"; "experiments"; "build"; "build.fsx" ]
    let whitespace = [ "format"; "whitespace"; "Hybrid.sln"; "--no-restore" ]
    dotnet (if check then fantomas @ [ "--check" ] else fantomas)
    dotnet (if check then whitespace @ [ "--verify-no-changes" ] else whitespace)

target "Format" (fun () -> format false)
target "CheckFormat" (fun () -> format true)

// Run and measure

target "Demo" (fun () -> dotnet [ "fsi"; "experiments/demo.fsx" ])

target "Bench" (fun () ->
    dotnet [ "run"; "--project"; "tests/NormFree.Microbenchmarks"; "-c"; "Release"; "--no-build" ])

target "Aot" Samples.compileClassifier
target "Browser" Samples.publishBrowser

// Package and document

/// The libraries and templates, and the tool for this platform, in artifacts/packages.
target "Pack" (fun () ->
    pack "Hybrid.sln" [ "--no-build" ]
    Platforms.packTool Platforms.current)

/// The tool's packages for all platforms.
target "PackTools" (fun () -> List.iter Platforms.packTool Platforms.all)

target "Publish" Platforms.publishTools
target "Docs" Site.write

for target, needed in
    [ "Build", "Restore"
      "BuildTool", "Restore"
      "BuildTests", "Restore"
      "Browser", "Restore"
      "Demo", "BuildTool"
      "Test", "BuildTests"
      "Soak", "BuildTests"
      "Soak", "Pack"
      "Fuzz", "Restore"
      "Coverage", "BuildTests"
      "Mutate", "BuildTests"
      "Bench", "Build"
      "Pack", "Build"
      "Approve", "BuildTests"
      "Publish", "BuildTool"
      "OtherPlatforms", "BuildTool"
      "PackTools", "BuildTool"
      "Ci", "Test"
      "Ci", "AdvSimd"
      "Ci", "OtherPlatforms"
      "Arm", "Restore"
      "AdvSimd", "Restore"
      "Docs", "Build"
      "Format", "Restore"
      "CheckFormat", "Restore" ] do
    needed ==> target |> ignore

// The tests come first, and build the tool.
for target in [ "AdvSimd"; "OtherPlatforms"; "BuildTool" ] do
    "BuildTests" ?=> target |> ignore

"Test" ?=> "AdvSimd" ?=> "OtherPlatforms" |> ignore

// It classifies with the network that the demo trains.
"Demo" ==> "Aot" |> ignore

let code =
    try
        Platforms.require ()
        Target.runOrDefaultWithArguments "Demo"
        0
    with error ->
        eprintfn $"{error.Message}"
        1

// FAKE has printed its report; nothing comes after this line.
Tests.printCounts (code <> 0)
exit code
