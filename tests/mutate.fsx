// Mutation testing of a C# library:  dotnet fsi tests/mutate.fsx PROJECT [COUNT [SEED [LIST…]]]
// Changes one place of the sources at a time, compiles the library, and runs lists of tests until one fails: for PROJECT Formats the list NormFree.Formats,
// if none is given. A mutant that no test notices has survived. COUNT mutants are drawn by the seed; the tests must be built.
// With the word planted instead of COUNT, the mutants are those of tests/planted/PROJECT.tsv, and the exit code is 1 if one survives. A line of that
// file names a source file, the code that is replaced, the code that replaces it, and what it means, separated by tabs.
#load "mutation/Mutants.fsx"

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Text.RegularExpressions
open Microsoft.CodeAnalysis
open Microsoft.CodeAnalysis.CSharp
open Microsoft.CodeAnalysis.Text
open Mutants

let root = Path.GetFullPath(Path.Combine(__SOURCE_DIRECTORY__, ".."))

let usage =
    "Usage: dotnet fsi tests/mutate.fsx PROJECT [COUNT [SEED [LIST…]]] or PROJECT planted [LIST…], with a C# project such as Formats"

/// Where mutants come from.
type Source =
    | Drawn of count: int * seed: int
    | Planted

let project, source, lists =
    match fsi.CommandLineArgs |> Array.skip 1 |> List.ofArray with
    | [ project ] -> project, Drawn(50, 1), []
    | project :: "planted" :: lists -> project, Planted, lists
    | [ project; count ] -> project, Drawn(int count, 1), []
    | project :: count :: seed :: lists -> project, Drawn(int count, int seed), lists
    | [] -> failwith usage

/// For each list: long at first, then three times what all of them take without a mutant, because a mutant may never end.
let mutable testTimeout = TimeSpan.FromMinutes 20.0
let name = $"NormFree.{project}"
let testLists = if lists.IsEmpty then [ name ] else lists
let sources = Path.Combine(root, "src", name)

let testBin =
    Directory.GetDirectories(Path.Combine(root, "tests/NormFree.Tests/bin/Release/net10.0"))[0]

let work = Path.Combine(root, "artifacts", "mutation", project)

let parseOptions = CSharpParseOptions(LanguageVersion.Preview)

let parse (path: string) (text: string) = CSharpSyntaxTree.ParseText(text, parseOptions, path)

let files =
    Directory.GetFiles(sources, "*.cs", SearchOption.AllDirectories)
    |> Array.filter (fun path -> not (path.Contains "/bin/" || path.Contains "/obj/"))
    |> Array.sort

/// Code that this processor does not run.
let isForOtherProcessors (path: string) =
    Path.GetFileName(path).Contains(if Runtime.Intrinsics.Arm.AdvSimd.IsSupported then "Avx" else "AdvSimd")

let written = Directory.GetFiles(Path.Combine(sources, "obj/Release/net10.0"), "*.cs")
let trees = dict [ for path in Array.append files written -> path, parse path (File.ReadAllText path) ]

let all =
    [| for path in Array.filter (isForOtherProcessors >> not) files do
           for node in trees[path].GetRoot().DescendantNodes(isMutable) do
               for span, replacement, operator in mutantsAt node do
                   { File = path; Span = span; Replacement = replacement; Operator = operator } |]

/// The faults of tests/planted.
let planted () =
    [| for line in File.ReadAllLines(Path.Combine(root, "tests", "planted", project + ".tsv")) do
           match line.Split '\t' with
           | [| file; before; after; what |] ->
               let path = Path.Combine(sources, file)
               let text = string (trees[path].GetText())

               match text.Split(before).Length - 1 with
               | 1 ->
                   { File = path
                     Span = TextSpan(text.IndexOf(before, StringComparison.Ordinal), before.Length)
                     Replacement = after
                     Operator = what }
               | count -> failwith $"{file} contains '{before}' {count} times."
           | _ -> failwith $"Not four columns: {line}" |]

let references =
    let framework = Directory.GetFiles(RuntimeEnvironment.GetRuntimeDirectory(), "*.dll")
    let own = Directory.GetFiles(testBin, "NormFree.*.dll")

    let isManaged (path: string) =
        try
            Reflection.AssemblyName.GetAssemblyName path |> ignore
            Path.GetFileNameWithoutExtension path <> name
        with :? BadImageFormatException ->
            false

    [| for path in Array.append framework own do
           if isManaged path then
               MetadataReference.CreateFromFile path :> MetadataReference |]

let options =
    CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary)
        .WithAllowUnsafe(true)
        .WithOptimizationLevel(OptimizationLevel.Release)
        .WithNullableContextOptions(NullableContextOptions.Enable)

/// The code that the framework's generator of regular expressions adds.
let generated =
    let packs =
        Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "../../../packs/Microsoft.NETCore.App.Ref")

    let generators =
        Directory.GetFiles(packs, "System.Text.RegularExpressions.Generator.dll", SearchOption.AllDirectories)

    match
        Reflection.Assembly.LoadFrom(Array.last generators).GetType
            "System.Text.RegularExpressions.Generator.RegexGenerator"
    with
    | null -> failwith "The framework has no generator of regular expressions."
    | kind ->
        let generator = (Activator.CreateInstance kind :?> IIncrementalGenerator).AsSourceGenerator()
        let driver = CSharpGeneratorDriver.Create([ generator ], parseOptions = parseOptions)
        let compilation = CSharpCompilation.Create(name, trees.Values, references, options)
        driver.RunGenerators(compilation).GetRunResult().GeneratedTrees |> List.ofSeq

/// Compiles the library with one file replaced. False if it does not compile.
let compile (replaced: (string * SyntaxTree) option) (output: string) =
    let chosen =
        [ for KeyValue(path, tree) in trees do
              match replaced with
              | Some(changed, other) when changed = path -> other
              | _ -> tree ]
        @ generated

    use stream = new MemoryStream()
    let result = CSharpCompilation.Create(name, chosen, references, options).Emit stream

    if result.Success then
        File.Delete output
        File.WriteAllBytes(output, stream.ToArray())

    result

/// A copy of the tests in which one assembly is replaced. Native libraries are linked.
let bin = Path.Combine(work, "bin")

let prepare () =
    if Directory.Exists work then
        Directory.Delete(work, true)

    for path in Directory.GetFiles(testBin, "*", SearchOption.AllDirectories) do
        let target = Path.Combine(bin, Path.GetRelativePath(testBin, path))
        Directory.CreateDirectory(Path.GetDirectoryName target) |> ignore
        File.CreateSymbolicLink(target, path) |> ignore

    // The host looks for its files beside the real program.
    for path in Directory.GetFiles(testBin, "NormFree.Tests*") do
        let target = Path.Combine(bin, Path.GetFileName path)
        File.Delete target
        File.Copy(path, target)

type Outcome =
    | Passed
    /// With the name of the first test that failed, if it is known.
    | Failed of test: string
    | TimedOut

let failure = Regex(@"\] (.*?) (failed|errored) in ")

let runList (list: string) =
    let start =
        ProcessStartInfo(
            Path.Combine(bin, "NormFree.Tests"),
            [ "--no-spinner"; "--colours"; "0"; "--filter"; list ],
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    use tests = Process.Start start
    let failed = ref None

    // The first failure is enough.
    let read (line: string) =
        if not (isNull line) then
            let found = failure.Match line

            if found.Success then
                failed.Value <- Some found.Groups[1].Value
                tests.Kill true

    tests.OutputDataReceived.Add(fun line -> read line.Data)
    tests.ErrorDataReceived.Add(fun line -> read line.Data)
    tests.BeginOutputReadLine()
    tests.BeginErrorReadLine()

    if not (tests.WaitForExit testTimeout) then
        tests.Kill true
        tests.WaitForExit()
        TimedOut
    else
        tests.WaitForExit()

        match failed.Value with
        | Some test -> Failed test
        | None when tests.ExitCode <> 0 -> Failed "the process"
        | None -> Passed

/// Runs the lists until a test fails.
let runTests () = testLists |> Seq.map runList |> Seq.tryFind ((<>) Passed) |> Option.defaultValue Passed

let nameOf outcome =
    match outcome with
    | Passed -> "SURVIVED"
    | Failed test -> $"killed by {test}"
    | TimedOut -> "killed by the time limit"

let describe (mutant: Mutant) =
    let line = trees[mutant.File].GetText().Lines.GetLinePosition(mutant.Span.Start).Line + 1
    let before = trees[mutant.File].GetText().ToString(mutant.Span).Replace("\n", " ")
    $"{Path.GetRelativePath(root, mutant.File)}:{line}: {mutant.Operator}: {before} -> {mutant.Replacement}"

let attempt (mutant: Mutant) =
    let text = trees[mutant.File].GetText().WithChanges(TextChange(mutant.Span, mutant.Replacement))

    if (compile (Some(mutant.File, parse mutant.File (string text))) (Path.Combine(bin, name + ".dll"))).Success then
        Some(runTests ())
    else
        None

prepare ()
let whole = compile None (Path.Combine(bin, name + ".dll"))

if not whole.Success then
    failwith
        $"The sources do not compile: {whole.Diagnostics |> Seq.find (fun d -> d.Severity = DiagnosticSeverity.Error)}"

let clock = Stopwatch.StartNew()

match runTests () with
| Passed -> testTimeout <- 3.0 * clock.Elapsed + TimeSpan.FromSeconds 20.0
| outcome -> failwith $"The tests fail without a change: {nameOf outcome}"

let chosen =
    match source with
    | Planted -> planted ()
    | Drawn(count, seed) ->
        let random = Random seed
        all |> Array.sortBy (fun _ -> random.Next()) |> Array.truncate count

let results =
    [ for mutant in chosen do
          match attempt mutant with
          | Some outcome ->
              printfn $"{nameOf outcome}: {describe mutant}"
              mutant, outcome
          | None when source = Planted -> failwith $"It does not compile: {describe mutant}"
          | None -> () ]

let survived = results |> List.filter (fun (_, outcome) -> outcome = Passed)
let killed = results.Length - survived.Length
File.WriteAllLines(Path.Combine(work, "survived.txt"), [ for mutant, _ in survived -> describe mutant ])

match source with
| Drawn(_, seed) ->
    printfn $"{name}: {killed} of {results.Length} mutants were killed (of {all.Length} possible; seed {seed})"
| Planted ->
    printfn $"{name}: {killed} of {results.Length} planted faults were found"
    exit (min survived.Length 1)
