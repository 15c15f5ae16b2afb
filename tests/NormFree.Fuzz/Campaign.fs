/// Runs AFL++ on instrumented copies of the assemblies, and stores the inputs that it finds.
module NormFree.Fuzz.Campaign

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text
open System.Text.RegularExpressions

/// AFL's folders, one for each target, and the instrumented assemblies.
let private work = Path.Combine(Ledger.repository, "artifacts", "fuzz")

let private bin = Path.Combine(work, "bin")

let private environment =
    [ // A target's earlier session is resumed.
      "AFL_AUTORESUME", "1"
      "AFL_SKIP_BIN_CHECK", "1"
      "AFL_SKIP_CPUFREQ", "1"
      "AFL_NO_AFFINITY", "1"
      "AFL_NO_UI", "1"
      "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES", "1"
      "AFL_FORKSRV_INIT_TMOUT", "120000"
      // 2 GiB, in hexadecimal digits.
      "DOTNET_GCHeapHardLimit", "80000000"
      if Directory.Exists "/dev/shm" then
          "TMPDIR", "/dev/shm" ]

/// Ends a program when this process ends. AFL++ then writes its statistics.
let private endsWithUs (started: Process) =
    AppDomain.CurrentDomain.ProcessExit.Add(fun _ ->
        if not started.HasExited then
            use signal = Process.Start("kill", [ "-TERM"; string started.Id ])
            signal.WaitForExit()
            started.WaitForExit(TimeSpan.FromSeconds 10.0) |> ignore)

/// Runs a program to its end. Its output goes to the log.
let private run (log: string) program (arguments: string list) =
    let start =
        ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)

    for name, value in environment do
        start.Environment[name] <- value

    use output = TextWriter.Synchronized(File.AppendText log)
    let started = nonNull (Process.Start start)
    endsWithUs started
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

/// This program's assemblies, with their times.
let private assemblies () =
    [ for pattern in [ "*.dll"; "*.json" ] do
          for path in Directory.GetFiles(AppContext.BaseDirectory, pattern) do
              path, File.GetLastWriteTimeUtc path ]

/// Copies this program, without native libraries, and instruments the copy, unless it has been done for these assemblies.
let private prepare () =
    let stamp = Path.Combine(work, "prepared")
    let found = String.Join('\n', assemblies ())

    if not (File.Exists stamp && File.ReadAllText stamp = found) then
        if Directory.Exists bin then
            Directory.Delete(bin, true)

        Directory.CreateDirectory bin |> ignore
        let log = Path.Combine(work, "prepare.log")

        for path, _ in assemblies () do
            File.Copy(path, Path.Combine(bin, FileInfo(path).Name))

        let tools = Path.Combine(work, "tools")

        if not (File.Exists(Path.Combine(tools, "sharpfuzz"))) then
            run
                log
                "dotnet"
                [ "tool"; "install"; "--tool-path"; tools; "SharpFuzz.CommandLine"; "--version"; toolVersion ]

        for name in instrumented do
            run log (Path.Combine(tools, "sharpfuzz")) [ Path.Combine(bin, $"NormFree.{name}.dll") ]

        File.WriteAllText(stamp, found)

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

let private program folder = Path.Combine(folder, "bin", "NormFree.Fuzz.dll")

let private found folder name = filesOf (Path.Combine(folder, "out", "default", name))

/// The inputs that broke a target's contract in a folder.
let private broken folder = found folder "crashes" @ found folder "hangs"

/// Stores the minimised inputs of a target's folder and records what has run in it.
let private keep (work: string) (target: Contract.Target) =
    let folder = Path.Combine(work, target.Name)
    let at name = Path.Combine(folder, name)
    let queue, minimised = Path.Combine(at "out", "default", "queue"), at "min"

    if Directory.Exists queue then
        if Directory.Exists minimised then
            Directory.Delete(minimised, true)

        let stored = Corpus.read Ledger.corpus target
        writeAll (at "stored") stored
        run (at "log") "dotnet" [ program work; "minimise"; target.Name; queue; at "stored"; minimised ]
        let inputs = [ for path in filesOf minimised -> File.ReadAllBytes path ]
        Corpus.write Ledger.corpus target inputs
        Ledger.record folder target
        let kept = (Corpus.read Ledger.corpus target).Length
        printfn $"{target.Name}: {kept} inputs stored, {(broken folder).Length} faults"

/// Stores and records what has run in the folder of campaigns, that of this repository or of another one.
let collect (folder: string option) (targets: Contract.Target list) =
    let folder = defaultArg folder work
    targets |> List.iter (keep folder)
    Ledger.publish targets
    let faults = targets |> List.collect (fun target -> broken (Path.Combine(folder, target.Name)))
    faults |> List.iter (eprintfn "%s")
    min faults.Length 1

/// Fuzzes one target for a time, resuming its last session, and returns the inputs that have broken its contract.
let private fuzz (minutes: float) (target: Contract.Target) : string list =
    let folder = Path.Combine(work, target.Name)
    let at name = Path.Combine(folder, name)
    let stored = Corpus.read Ledger.corpus target
    let first = if stored.IsEmpty then [ "\n"B ] else stored
    writeAll (at "in") first
    let dictionary = if writeDictionary (at "words") first then [ "-x"; at "words" ] else []

    run
        (at "log")
        "afl-fuzz"
        ([ "-i"; at "in"; "-o"; at "out"; "-V"; string (int (60.0 * minutes)); "-t"; "20000"; "-m"; "none" ]
         @ [ "-G"; string target.MaxBytes ]
         @ dictionary
         @ [ "--"; "dotnet"; program work; "run"; target.Name ])

    keep work target
    broken folder

/// Fuzzes targets for so many minutes each. The exit code is 1 if an input broke a contract, or AFL++ refused to start.
let start (minutes: float) (targets: Contract.Target list) =
    prepare ()

    let faultsOf (target: Contract.Target) =
        try
            fuzz minutes target
        with error ->
            [ error.Message ]

    let faults = [ for target in targets -> target, faultsOf target ]
    Ledger.publish Corpus.all

    for target, broken in faults do
        for path in broken do
            eprintfn $"{target.Name}: {path}"

    if faults |> List.forall (snd >> List.isEmpty) then 0 else 1
