// Builds, tests and runs NormFree:  dotnet fsi build.fsx [-t TARGET]
// Targets: Restore Build BuildTool BuildTests Demo (default) Test Soak Fuzz Coverage Mutate Bench Arm Aot Browser Publish Ci Format CheckFormat Approve Pack PackTools Docs Update Clean.  `-l` lists them with what they need.
#r "nuget: Fake.Core.Target, 5.20.3"

open System
open System.IO
open System.Runtime.InteropServices
open System.Text.RegularExpressions
open System.Xml.Linq
open Fake.Core
open Fake.Core.TargetOperators

let root = __SOURCE_DIRECTORY__
let arguments = fsi.CommandLineArgs |> Array.skip 1 |> Array.toList
Environment.CurrentDirectory <- root

Context.setExecutionContext (
    Context.RuntimeContext.Fake(Context.FakeExecutionContext.Create false "build.fsx" arguments)
)

let run program arguments =
    CreateProcess.fromRawCommand program arguments
    |> CreateProcess.withWorkingDirectory root
    |> CreateProcess.ensureExitCodeWithMessage $"""{program} {String.concat " " arguments} failed."""
    |> Proc.run
    |> ignore

let dotnet arguments = run "dotnet" arguments

/// The platforms that libtorch is packaged for.
let runtimes = [ "linux-x64"; "win-x64"; "osx-arm64" ]

/// This machine's platform, as .NET names it.
let runtime =
    let system =
        if OperatingSystem.IsWindows() then "win"
        elif OperatingSystem.IsMacOS() then "osx"
        else "linux"

    $"{system}-{RuntimeInformation.OSArchitecture.ToString().ToLowerInvariant()}"

/// Files without which the tool does not run on a platform: libtorch, TorchSharp, SkiaSharp and ONNX Runtime.
let nativeFiles (runtime: string) =
    let names = [ "torch_cpu"; "LibTorchSharp"; "SkiaSharp"; "onnxruntime" ]

    match runtime.Split('-')[0] with
    | "win" -> [ "normfree.exe"; "torch_cpu.dll"; "LibTorchSharp.dll"; "libSkiaSharp.dll"; "onnxruntime.dll" ]
    | "osx" -> "normfree" :: [ for name in names -> $"lib{name}.dylib" ]
    | _ -> "normfree" :: [ for name in names -> $"lib{name}.so" ]

let executable name = if OperatingSystem.IsWindows() then $"{name}.exe" else name

/// Files name the package feed by this variable, never by its address.
let feedVariable = "NORMFREE_FEED"

/// The first enabled source of this machine's NuGet configuration.
let configuredFeed () =
    let sources =
        CreateProcess.fromRawCommand "dotnet" [ "nuget"; "list"; "source"; "--format"; "short" ]
        |> CreateProcess.redirectOutput
        |> CreateProcess.ensureExitCode
        |> Proc.run

    // Lines such as "E https://…", with further letters after the E for a source of the whole machine.
    sources.Result.Output.Split('\n')
    |> Array.tryPick (fun line ->
        let found = Regex.Match(line, @"^E\w* (\S+)")
        if found.Success then Some found.Groups[1].Value else None)
    |> Option.defaultWith (fun () -> failwith "No NuGet source is enabled: add one with 'dotnet nuget add source'.")

let setFeed () =
    if String.IsNullOrEmpty(Environment.GetEnvironmentVariable feedVariable) then
        Environment.SetEnvironmentVariable(feedVariable, configuredFeed ())

let hidePaketFeed () =
    let path = Path.Combine(root, "paket.lock")
    let placeholder = $"remote: %%{feedVariable}%%"
    File.WriteAllText(path, Regex.Replace(File.ReadAllText path, @"remote: (?!%)\S+", placeholder))

/// The line that counts tests; printed again at the very end, since FAKE ends with a report of its own.
let mutable counts = ""

let isCounts (line: string) = Regex.IsMatch(line, @"^\d+ passed, \d+ failed, \d+ skipped$")

let runTests arguments =
    let program =
        Path.Combine(root, $"tests/NormFree.Tests/bin/Release/net10.0/{runtime}", executable "NormFree.Tests")

    let print (line: string) =
        if not (isNull line) then
            // Expecto resets colours even where it uses none.
            let plain = Regex.Replace(line, "\x1b\[[0-9;]*m", "")

            if isCounts plain then
                counts <- plain

            printfn $"{line}"

    // What is said if the program dies before it can count.
    counts <- "0 passed, 1 failed, 0 skipped"

    CreateProcess.fromRawCommand program arguments
    |> CreateProcess.withWorkingDirectory root
    |> CreateProcess.redirectOutput
    |> CreateProcess.withOutputEvents print (fun line ->
        if not (isNull line) then
            eprintfn $"{line}")
    |> CreateProcess.ensureExitCodeWithMessage "Tests failed."
    |> Proc.run
    |> ignore

Target.create "Clean" (fun _ ->
    if Directory.Exists "artifacts" then
        Directory.Delete("artifacts", true)

    dotnet [ "clean"; "Hybrid.sln"; "-c"; "Release"; "-v"; "quiet" ])

Target.create "Restore" (fun _ ->
    setFeed ()
    dotnet [ "tool"; "restore" ]
    dotnet [ "paket"; "restore" ])

let build project = dotnet [ "build"; project; "-c"; "Release"; "-v"; "quiet"; "-nologo"; "-clp:Summary" ]

Target.create "Build" (fun _ -> build "Hybrid.sln")

Target.create "BuildTool" (fun _ -> build "src/NormFree.Cli")

/// The sample page. It needs the WebAssembly packs of the SDK's version; a feed without them leaves it out.
let publishBrowser () =
    let restored =
        CreateProcess.fromRawCommand "dotnet" [ "restore"; "experiments/browser"; "-v"; "quiet" ]
        |> CreateProcess.redirectOutput
        |> Proc.run

    if restored.ExitCode = 0 then
        dotnet
            [ "publish"
              "experiments/browser"
              "--no-restore"
              "-c"
              "Release"
              "-o"
              "artifacts/browser"
              "-v"
              "quiet"
              "-nologo" ]
    else
        printfn $"experiments/browser is left out, since its packages cannot be restored: {restored.Result.Output}"

/// With the programs that tests run: the tool, the sample page, and the ones that tests/NormFree.Tests names.
Target.create "BuildTests" (fun _ ->
    build "tests/NormFree.Tests"
    publishBrowser ())

/// The sample page alone: artifacts/browser/wwwroot, for any web server.
Target.create "Browser" (fun _ -> publishBrowser ())

Target.create "Demo" (fun _ -> dotnet [ "fsi"; "experiments/demo.fsx" ])

let plainly = [ "--no-spinner"; "--colours"; "0" ]

Target.create "Test" (fun _ -> runTests plainly)

/// What takes minutes: kills of the tool, memory over thousands of steps, and the packages.
Target.create "Soak" (fun _ -> runTests ("--soak" :: plainly))

/// Coverage-guided fuzzing of every reader with Debian's afl++:  -t Fuzz [MINUTES for each target, 2 by default] [TARGET…]
Target.create "Fuzz" (fun parameter ->
    let arguments = parameter.Context.Arguments
    let program = [ "run"; "--project"; "tests/NormFree.Fuzz"; "-c"; "Release"; "--"; "campaign" ]
    dotnet (program @ (if arguments.IsEmpty then [ "2" ] else arguments)))

/// The lines of a cobertura report that have branches: file, line, covered and all branches.
let branches (report: XElement) =
    [ for ofClass in report.Descendants(XName.Get "class") do
          for line in ofClass.Element(XName.Get "lines").Elements() do
              let counts = Regex.Match(string (line.Attribute(XName.Get "condition-coverage")), @"\((\d+)/(\d+)\)")

              if counts.Success then
                  let file = ofClass.Attribute(XName.Get "filename").Value
                  let number = int (line.Attribute(XName.Get "number").Value)
                  file, number, int counts.Groups[1].Value, int counts.Groups[2].Value ]
    |> List.distinct

/// Branch coverage of the quick tests by project:  -t Coverage [LIST…, for example NormFree.Formats]
Target.create "Coverage" (fun parameter ->
    let filter =
        match parameter.Context.Arguments with
        | [] -> []
        | lists -> [ "-p:Filter=" + String.Join('+', lists) ]

    dotnet ([ "build"; "tests/coverage/coverage.proj"; "-nologo"; "-v"; "quiet" ] @ filter)
    let report = XElement.Load "artifacts/coverage/coverage.cobertura.xml"

    for project in report.Descendants(XName.Get "package") |> Seq.sortBy (fun p -> p.Attribute(XName.Get "name").Value) do
        let found = branches project
        let covered, all = List.sumBy (fun (_, _, n, _) -> n) found, List.sumBy (fun (_, _, _, n) -> n) found
        let name = project.Attribute(XName.Get "name").Value

        if all > 0 then
            printfn $"{name, -25} {covered, 6} of {all, 6} branches {100.0 * float covered / float all, 6:F1} %%"

    let uncovered =
        [ for file, line, covered, all in branches report |> List.sort do
              if covered < all then
                  $"{file}:{line}: {covered} of {all}" ]

    File.WriteAllLines("artifacts/coverage/uncovered.txt", uncovered)
    printfn "The lines with uncovered branches are in artifacts/coverage/uncovered.txt")

/// Mutation testing of a C# library:  -t Mutate PROJECT [COUNT [SEED]]
Target.create "Mutate" (fun parameter -> dotnet ([ "fsi"; "tests/mutate.fsx" ] @ parameter.Context.Arguments))

Target.create "Bench" (fun _ ->
    dotnet [ "run"; "--project"; "tests/NormFree.Microbenchmarks"; "-c"; "Release"; "--no-build" ])

let format check =
    let fantomas = [ "fantomas"; "src"; "tests"; "experiments"; "build.fsx" ]
    let whitespace = [ "format"; "whitespace"; "Hybrid.sln"; "--no-restore" ]
    dotnet (if check then fantomas @ [ "--check" ] else fantomas)
    dotnet (if check then whitespace @ [ "--verify-no-changes" ] else whitespace)

Target.create "Format" (fun _ -> format false)

Target.create "CheckFormat" (fun _ -> format true)

/// The tool's package for one platform, and the package that chooses among the platforms. Compressing libtorch takes a minute.
let packTool runtime =
    let pack options =
        // Paket packs from the only nuspec that it finds.
        for nuspec in DirectoryInfo("src/NormFree.Cli/obj/Release").GetFiles "*.nuspec" do
            nuspec.Delete()

        dotnet (
            [ "pack"
              "src/NormFree.Cli"
              "-c"
              "Release"
              "-v"
              "quiet"
              "-nologo"
              "-o"
              "artifacts/packages" ]
            @ options
        )

    let published = Path.Combine(root, "artifacts", "tool", runtime) + "/"
    pack [ "-p:PackTool=platform"; $"-p:NormFreeRuntime={runtime}"; $"-p:PublishDir={published}" ]
    // PublishAot: the SDK would otherwise pack every platform again.
    pack [ "-p:PackTool=any"; "-p:PublishAot=true"; "--no-build" ]

/// Accepts the public surface of every package as it is: writes tests/approved-api.
Target.create "Approve" (fun _ ->
    Environment.SetEnvironmentVariable("NORMFREE_APPROVE", "1")
    runTests (plainly @ [ "--filter"; "NormFree.Repository.public surface" ]))

/// The libraries and templates, and the tool for this platform.
Target.create "Pack" (fun _ ->
    dotnet
        [ "pack"
          "Hybrid.sln"
          "-c"
          "Release"
          "--no-build"
          "-o"
          "artifacts/packages"
          "-v"
          "quiet"
          "-nologo" ]

    packTool runtime)

/// The tool's packages for all platforms.
Target.create "PackTools" (fun _ -> runtimes |> List.iter packTool)

/// The tool for each platform, in artifacts/publish. Only this platform's can run here. Large files are linked, and the tool is compiled
/// ahead of time: about half a minute of processor time for each platform.
Target.create "Publish" (fun _ ->
    for runtime in runtimes do
        dotnet
            [ "publish"
              "src/NormFree.Cli"
              "-c"
              "Release"
              $"-p:NormFreeRuntime={runtime}"
              "-o"
              $"artifacts/publish/{runtime}"
              "-v"
              "quiet"
              "-nologo" ]

        for file in nativeFiles runtime do
            if not (File.Exists(Path.Combine("artifacts/publish", runtime, file))) then
                failwith $"artifacts/publish/{runtime} lacks {file}.")

/// Debian's emulator of 64-bit Arm, and the folder of its libraries.
let emulator, armLibraries = "/usr/bin/qemu-aarch64-static", "/usr/aarch64-linux-gnu"

/// The tests that need no libtorch, on 64-bit Arm: by themselves on such a machine, in the emulator elsewhere. Each list runs in a process of its own, one
/// test after the other: threads that wait for each other may hang in the emulator.
Target.create "Arm" (fun _ ->
    let folder = "artifacts/arm64"
    let program = $"{folder}/NormFree.PortableTests"

    let runLists program arguments =
        [ for list in [ "NormFree.Kernels"; "NormFree.Inference" ] ->
              async { run program (arguments @ [ "--sequenced"; "--filter"; list ] @ plainly) } ]
        |> Async.Parallel
        |> Async.RunSynchronously
        |> ignore

    let publish () =
        dotnet
            [ "publish"
              "tests/NormFree.PortableTests"
              "-c"
              "Release"
              "-r"
              "linux-arm64"
              "--self-contained"
              "true"
              "-o"
              folder
              "-v"
              "quiet"
              "-nologo" ]

    if RuntimeInformation.OSArchitecture = Architecture.Arm64 then
        publish ()
        runLists program []
    elif File.Exists emulator && Directory.Exists armLibraries then
        publish ()
        runLists emulator [ "-L"; armLibraries; program ]
    else
        printfn "Not tested on Arm: install qemu-user-static, libc6-arm64-cross and libstdc++6-arm64-cross.")

/// The ahead-of-time sample, its size, and how long it takes from its start to its first prediction.
Target.create "Aot" (fun _ ->
    let folder = "artifacts/classify"

    dotnet
        [ "publish"
          "experiments/classify"
          "-c"
          "Release"
          "-o"
          folder
          "-v"
          "quiet"
          "-p:IlcInstructionSet=native" ]

    let program = Path.Combine(root, folder, "classify")
    printfn $"{program}: {float (FileInfo(program).Length) / 1e6:F1} MB"

    let packed = Path.Combine(folder, "demo.packed.safetensors")

    run
        "artifacts/normfree/normfree"
        [ "export"
          "--checkpoint"
          "artifacts/demo/bn-free/stage2.best.safetensors"
          "--format"
          "packed"
          "--out"
          packed ]

    for _ in 1..3 do
        run program [ packed; "docs/demo.png"; "--time"; "--top"; "1" ])

/// Where a file of the repository lies among the site's pages; None if it is not part of the site.
let pageOf (path: string) =
    let inFolder folder target =
        if path.StartsWith(folder + "/", StringComparison.Ordinal) then
            Some(target + path.Substring(folder.Length + 1))
        else
            None

    match path with
    | "README.md"
    | "CHANGELOG.md"
    | "CONTRIBUTING.md" -> Some path
    | _ -> inFolder "docs" "" |> Option.orElse (inFolder "experiments/results" "results/")

/// A Markdown page for the site: links between pages are kept, links to source files become plain text.
let sitePage (path: string) (text: string) =
    let folder (path: string) = Path.GetDirectoryName path |> string

    let link (found: Match) =
        let label, target = found.Groups[1].Value, found.Groups[2].Value.Trim('<', '>')

        let file, anchor =
            target.Split('#', 2) |> fun parts -> parts[0], (if parts.Length > 1 then "#" + parts[1] else "")

        if target.Contains "://" || file = "" then
            found.Value
        else
            let absolute = Path.GetRelativePath(root, Path.GetFullPath(Path.Combine(root, folder path, file)))

            match pageOf absolute with
            | Some page ->
                $"{label}({Path.GetRelativePath(Path.Combine(root, folder (pageOf path).Value), Path.Combine(root, page))}{anchor})"
            | None -> label.TrimStart('!').Trim('[', ']')

    Regex.Replace(text, @"(!?\[[^\]]*\])\(([^)\s]+)\)", link)

/// The documentation site: pages, the command-line reference and the API reference.
Target.create "Docs" (fun _ ->
    let pages = "artifacts/docfx/pages"

    if Directory.Exists pages then
        Directory.Delete(pages, true)

    let copy (path: string) =
        let target = Path.Combine(pages, (pageOf path).Value)
        Directory.CreateDirectory(Path.GetDirectoryName target) |> ignore

        if path.EndsWith ".md" then
            File.WriteAllText(target, sitePage path (File.ReadAllText path))
        else
            File.Copy(path, target)

    [ "README.md"; "CHANGELOG.md"; "CONTRIBUTING.md" ]
    @ [ for folder in [ "docs"; "experiments/results" ] do
            yield! Directory.GetFiles(folder, "*", SearchOption.AllDirectories) ]
    |> List.filter (fun path -> Path.GetFileName path <> "docfx.json" && not (path.StartsWith "docs/template"))
    |> List.iter copy

    dotnet [ "docfx"; "docs/docfx.json" ]
    printfn "Open artifacts/site/index.html")

/// Everything that needs no other machine and no hour. .ci/run runs its first part, Test.
Target.create "Ci" ignore

Target.create "Update" (fun _ ->
    setFeed ()
    dotnet [ "tool"; "restore" ]

    try
        dotnet [ "paket"; "install" ]
    finally
        hidePaketFeed ())

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
      "PackTools", "BuildTool"
      "Ci", "Test"
      "Ci", "Publish"
      "Ci", "Arm"
      "Arm", "Restore"
      "Docs", "Build"
      "Format", "Restore"
      "CheckFormat", "Restore" ] do
    needed ==> target |> ignore

// Libraries and the tool are built once.
"BuildTests" ?=> "Publish" |> ignore

// It classifies with the network that the demo trains.
"Demo" ==> "Aot" |> ignore

let code =
    try
        if not (List.contains runtime runtimes) then
            let supported = String.concat ", " runtimes

            failwith
                $"NormFree builds on {supported}, for which libtorch is packaged; this is {runtime}. Use such a machine or container."

        Target.runOrDefaultWithArguments "Demo"
        0
    with error ->
        eprintfn $"{error.Message}"
        1

// FAKE has printed its report; nothing comes after this line.
if counts <> "" then
    printfn $"{counts}"

exit code
