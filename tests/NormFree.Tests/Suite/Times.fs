/// How long each top-level test list takes, compared with its budget.
module NormFree.Tests.Suite.Times

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open Expecto

/// Seconds of processor time that each list may take on one core of an AVX2 machine. Two cores finish all of them in five minutes.
let private budgets =
    Map
        [ "Architecture", 5.0
          "Repository", 5.0
          "Formats", 15.0
          "Archives", 10.0
          "Data", 25.0
          "Golden", 45.0
          "Spec", 10.0
          "Kernels", 45.0
          "Torch", 30.0
          "Inference", 40.0
          "Training", 90.0
          "Telemetry", 20.0
          "Experiments", 15.0
          "Interop", 50.0
          "Reporting", 20.0
          "Cli", 70.0
          "Distributed", 60.0
          "Samples", 20.0
          "Memory", 20.0 ]

/// One test's time: what its thread waited and worked, and what all processors did meanwhile.
type private Time = { Name: string list; Wall: float; Processor: float }

let private times = ConcurrentBag<Time>()

/// Seconds of processors that this process and the children that it has waited for have used, user and system time together.
let private processorTime () =
    let afterName = (File.ReadAllText "/proc/self/stat").Split(')') |> Array.last
    let fields = afterName.Split(' ', StringSplitOptions.RemoveEmptyEntries)
    // utime, stime, cutime and cstime, in hundredths of a second.
    float (Array.sumBy int64 fields[11..14]) / 100.0

/// Starts a test's clock; its time is recorded when the result is disposed.
let private clock name =
    let wall, before = Stopwatch.StartNew(), processorTime ()

    { new IDisposable with
        member _.Dispose() =
            times.Add { Name = name; Wall = wall.Elapsed.TotalSeconds; Processor = processorTime () - before }
            Memory.trim () }

let private timed name code =
    match code with
    | Sync run -> Sync(fun () -> using (clock name) (fun _ -> run ()))
    | SyncWithCancel run -> SyncWithCancel(fun token -> using (clock name) (fun _ -> run token))
    | Async run ->
        Async(
            async {
                use _ = clock name
                return! run
            }
        )
    | AsyncFsCheck(config, stress, run) ->
        let run config =
            async {
                use _ = clock name
                return! run config
            }

        AsyncFsCheck(config, stress, run)

let rec private record name test =
    match test with
    | TestCase(code, state) -> TestCase(timed (List.rev name) code, state)
    | TestLabel(label, test, state) -> TestLabel(label, record (label :: name) test, state)
    | TestList(tests, state) -> TestList(List.map (record name) tests, state)
    | Test.Sequenced(how, test) -> Test.Sequenced(how, record name test)

/// The same tests; their times are recorded.
let measured test = record [] test

let private line (name: string) (tests: int) (seconds: float) (budget: float option) =
    let allowed, note =
        match budget with
        | Some budget -> $"{budget, 8:F0}", (if seconds > budget then "  over budget" else "")
        | None -> $"""{"", 8}""", ""

    $"{name, -14} {tests, 6} {seconds, 9:F1} {allowed}{note}"

/// A table of the top-level lists that have run: number of tests, seconds and budget.
/// Tests that run at the same time share the processors: only a sequential run can tell the processor time of a list.
let table isSequential =
    let seconds time = if isSequential then time.Processor else time.Wall
    let total = times |> Seq.sumBy seconds
    let unit = if isSequential then "CPU s" else "s"

    [ $"""{"list", -14} {"tests", 6} {unit, 9} {"budget", 8}"""
      for list, times in times |> Seq.groupBy (fun time -> time.Name[1]) |> Seq.sortBy fst do
          line list (Seq.length times) (Seq.sumBy seconds times) (budgets.TryFind list)
      line "all" times.Count total None
      $"processor time of the tests and their processes: {processorTime ():F0} s; peak memory of the tests: {Memory.peak ():F1} GB" ]

/// The slowest tests: seconds and name.
let slowest count isSequential =
    let seconds time = if isSequential then time.Processor else time.Wall

    [ for time in times |> Seq.sortByDescending seconds |> Seq.truncate count do
          $"{seconds time, 9:F1}  {String.Join('.', List.tail time.Name)}" ]
