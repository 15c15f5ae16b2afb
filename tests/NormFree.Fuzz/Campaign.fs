/// Runs AFL++ on instrumented copies of the assemblies, and stores the inputs that it finds.
module NormFree.Fuzz.Campaign

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text
open System.Text.RegularExpressions

let private repository =
    let rec up (folder: DirectoryInfo | null) =
        match folder with
        | null -> failwith "The program is not in the repository."
        | folder when File.Exists(Path.Combine(folder.FullName, "Hybrid.sln")) -> folder.FullName
        | folder -> up folder.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

let corpus = Path.Combine(repository, "tests", "fixtures", "fuzz")
let private work = Path.Combine(repository, "artifacts", "fuzz")
let private bin = Path.Combine(work, "bin")

let private environment =
    [ "AFL_SKIP_BIN_CHECK", "1"
      "AFL_SKIP_CPUFREQ", "1"
      "AFL_NO_AFFINITY", "1"
      "AFL_NO_UI", "1"
      "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES", "1"
      "AFL_FORKSRV_INIT_TMOUT", "120000"
      // 2 GiB, in hexadecimal digits.
      "DOTNET_GCHeapHardLimit", "80000000"
      if Directory.Exists "/dev/shm" then
          "TMPDIR", "/dev/shm" ]

/// Runs a program to its end. Its output goes to the log.
let private run (log: string) program (arguments: string list) =
    let start =
        ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)

    for name, value in environment do
        start.Environment[name] <- value

    use output = TextWriter.Synchronized(File.AppendText log)
    use started = nonNull (Process.Start start)
    started.OutputDataReceived.Add(fun line -> output.WriteLine line.Data)
    started.ErrorDataReceived.Add(fun line -> output.WriteLine line.Data)
    started.BeginOutputReadLine()
    started.BeginErrorReadLine()
    started.WaitForExit()

    if started.ExitCode <> 0 then
        failwith $"{program} ended with {started.ExitCode}; see {log}"

/// The assemblies whose branches guide the fuzzer.
let private instrumented = [ "Formats"; "Archives"; "Inference"; "Spec"; "Data"; "Runs"; "Networks" ]

let private toolVersion = "2.3.0"

/// Copies this program, without native libraries, and instruments the copy.
let private prepare () =
    if Directory.Exists bin then
        Directory.Delete(bin, true)

    Directory.CreateDirectory bin |> ignore
    let log = Path.Combine(work, "prepare.log")

    for pattern in [ "*.dll"; "*.json" ] do
        for file in Directory.GetFiles(AppContext.BaseDirectory, pattern) do
            File.Copy(file, Path.Combine(bin, FileInfo(file).Name))

    let tools = Path.Combine(work, "tools")

    if not (File.Exists(Path.Combine(tools, "sharpfuzz"))) then
        run log "dotnet" [ "tool"; "install"; "--tool-path"; tools; "SharpFuzz.CommandLine"; "--version"; toolVersion ]

    for name in instrumented do
        run log (Path.Combine(tools, "sharpfuzz")) [ Path.Combine(bin, $"NormFree.{name}.dll") ]

let private writeAll folder (inputs: byte[] list) =
    Directory.CreateDirectory folder |> ignore

    for bytes in inputs do
        File.WriteAllBytes(Path.Combine(folder, Corpus.nameOf bytes), bytes)

let private filesOf folder =
    if Directory.Exists folder then
        Directory.GetFiles folder
        |> Array.filter (fun path -> not (path.EndsWith "README.txt"))
        |> List.ofArray
    else
        []

/// Words of the inputs, such as the keys of JSON: AFL's dictionary.
let private writeDictionary path (inputs: byte[] list) =
    let words =
        [ for bytes in inputs do
              for found in Regex.Matches(Encoding.Latin1.GetString bytes, "[A-Za-z_][A-Za-z0-9_.]{2,30}") -> found.Value ]
        |> List.countBy id
        |> List.sortByDescending snd
        |> List.truncate 200

    File.WriteAllLines(path, [ for word, _ in words -> $"\"{word}\"" ])
    words.Length > 0

let private statistic (stats: string[]) key =
    let line = stats |> Array.find (fun line -> (line.Split(':')[0]).Trim() = key)
    Double.Parse(line.Split(':')[1], CultureInfo.InvariantCulture)

/// Executions and minutes of all campaigns, by target.
let private history = Path.Combine(corpus, "executions.tsv")

let private readHistory () =
    if File.Exists history then
        Map
            [ for line in File.ReadAllLines history |> Array.skip 1 do
                  let cells = line.Split '\t'
                  cells[0], (int64 cells[1], float cells[2]) ]
    else
        Map.empty

let private record (target: Contract.Target) (executions: int64) (minutes: float) =
    let known = readHistory ()
    let before, spent = known |> Map.tryFind target.Name |> Option.defaultValue (0L, 0.0)
    let all = known |> Map.add target.Name (before + executions, spent + minutes)

    let line (name: string, (executions: int64, minutes: float)) =
        String.Join('\t', name, executions, minutes.ToString("F1", CultureInfo.InvariantCulture))

    File.WriteAllLines(history, "target\texecutions\tminutes" :: List.map line (Map.toList all))

let private program = Path.Combine(bin, "NormFree.Fuzz.dll")

/// Fuzzes one target, stores its minimised inputs, and returns the inputs that broke its contract.
let private fuzz (minutes: float) (target: Contract.Target) : string list =
    let folder = Path.Combine(work, target.Name)

    if Directory.Exists folder then
        Directory.Delete(folder, true)

    let at name = Path.Combine(folder, name)
    let log = at "log"
    let stored = Corpus.read corpus target
    let first = if stored.IsEmpty then [ "\n"B ] else stored
    writeAll (at "in") first
    let dictionary = if writeDictionary (at "words") first then [ "-x"; at "words" ] else []

    run
        log
        "afl-fuzz"
        ([ "-i"; at "in"; "-o"; at "out"; "-V"; string (int (60.0 * minutes)); "-t"; "20000"; "-m"; "none" ]
         @ [ "-G"; string target.MaxBytes ]
         @ dictionary
         @ [ "--"; "dotnet"; program; "run"; target.Name ])

    let found name = filesOf (Path.Combine(at "out", "default", name))
    let broken = found "crashes" @ found "hangs"
    let stats = File.ReadAllLines(Path.Combine(at "out", "default", "fuzzer_stats"))
    run log "dotnet" [ program; "minimise"; target.Name; Path.Combine(at "out", "default", "queue"); at "in"; at "min" ]
    Corpus.write corpus target [ for path in filesOf (at "min") -> File.ReadAllBytes path ]
    let executions = statistic stats "execs_done"
    record target (int64 executions) (statistic stats "run_time" / 60.0)
    let kept = (Corpus.read corpus target).Length
    printfn $"{target.Name}: {executions} executions, {kept} inputs stored, {broken.Length} faults"
    broken

/// Fuzzes targets for so many minutes each. The exit code is 1 if an input broke a contract, or AFL++ refused to start.
let start (minutes: float) (targets: Contract.Target list) =
    prepare ()

    let faultsOf (target: Contract.Target) =
        try
            fuzz minutes target
        with error ->
            [ error.Message ]

    let faults = [ for target in targets -> target, faultsOf target ]

    for target, broken in faults do
        for path in broken do
            eprintfn $"{target.Name}: {path}"

    if faults |> List.forall (snd >> List.isEmpty) then 0 else 1
