/// The tool, within the tests' process or as a process of its own, and the runs that several tests use.
module NormFree.Tests.Cli.Tool

open System
open System.Diagnostics
open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Tests
open NormFree.Tests.Data.Support

/// The exit code and the output of a process.
type Result = { Code: int; Out: string; Err: string }

let private program = Path.Combine(repository, "artifacts", "normfree", "normfree")
let private timeout = TimeSpan.FromSeconds 120.0

let private startProgram (name: string) (arguments: string list) =
    let info =
        ProcessStartInfo(
            name,
            arguments,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true
        )

    match Process.Start info with
    | null -> failtest $"{name} does not start"
    | tool -> tool

/// Starts the tool.
let start arguments = startProgram program arguments

/// Starts the tool with SIGHUP as a terminal delivers it. nohup, which may run the tests, makes programs ignore it.
let private startWithSignals arguments = startProgram "/usr/bin/env" ("--default-signal=HUP" :: program :: arguments)

/// Waits for the end. A tool that hangs is killed and fails the test.
let private finish (tool: Process) arguments =
    let out, err = tool.StandardOutput.ReadToEndAsync(), tool.StandardError.ReadToEndAsync()

    if not (tool.WaitForExit timeout) then
        tool.Kill()
        failtest $"normfree {arguments} still runs after {timeout.TotalSeconds} s"

    { Code = tool.ExitCode; Out = out.Result; Err = err.Result }

/// Runs the tool as a process to its end. Tests of signals, threads and the process itself need this.
let runProcess (arguments: string list) =
    use tool = start arguments
    finish tool (String.concat " " arguments)

/// Runs the tool as a process that sees so many processors.
let runProcessOn (processors: int) (arguments: string list) =
    use tool = startProgram "/usr/bin/env" ($"DOTNET_PROCESSOR_COUNT={processors}" :: program :: arguments)
    finish tool (String.concat " " arguments)

/// Runs the tool's entry point to its end within this process, which saves half a second of processor time per call.
/// The tool formats tables for a terminal or for a pipe by what this process has: with a terminal the tool runs as a process.
let run (arguments: string list) =
    if Console.IsOutputRedirected && Console.IsErrorRedirected then
        let code, out, err = ConsoleCapture.run (fun () -> NormFree.Cli.Program.main (List.toArray arguments))
        { Code = code; Out = out; Err = err }
    else
        runProcess arguments

/// Runs the tool on the words of a line.
let runLine (line: string) = run (line.Split(' ', StringSplitOptions.RemoveEmptyEntries) |> Array.toList)

/// Starts the tool, waits, sends it a signal and waits for its end.
let private signal (name: string) (wait: Process -> unit) (arguments: string list) =
    use tool = startWithSignals arguments
    wait tool
    use kill = Process.Start("kill", [ $"-{name}"; string tool.Id ])
    kill.WaitForExit()
    finish tool (arguments |> List.truncate 20 |> String.concat " ")

/// Sends the tool a signal when it prints such a line.
let signalAt name (isPlace: string -> bool) =
    signal name (fun tool ->
        let mutable line = tool.StandardOutput.ReadLine()

        while not (isNull line || isPlace (nonNull line)) do
            line <- tool.StandardOutput.ReadLine())

/// Sends the tool SIGTERM when it prints such a line.
let terminateAt isPlace = signalAt "TERM" isPlace

/// Sends the tool SIGTERM when it has read so many bytes from files: for commands that print nothing until their end.
let terminateWhenRead (bytes: int64) =
    signal "TERM" (fun tool ->
        let read () =
            let line = File.ReadLines $"/proc/{tool.Id}/io" |> Seq.head
            int64 (line.Substring(line.IndexOf ' '))

        while not tool.HasExited && read () < bytes do
            Threading.Thread.Sleep 20)

/// Sends the tool SIGTERM when it has used so much processor time. The result also has the time that it took to end.
let terminateWhenBusy (processorTime: TimeSpan) (arguments: string list) =
    let clock = Stopwatch()

    let wait (tool: Process) =
        while not tool.HasExited && tool.TotalProcessorTime < processorTime do
            Threading.Thread.Sleep 20
            tool.Refresh()

        clock.Start()

    let result = signal "TERM" wait arguments
    result, clock.Elapsed

/// The lines of a text, without the end of the last.
let lines (text: string) = text.TrimEnd('\n').Split '\n' |> Array.toList

/// The names of events. Every line must be a JSON object of one member.
let eventNames (text: string) =
    [ for line in lines text ->
          match JsonNode.Parse line with
          | :? JsonObject as event when event.Count = 1 -> (Seq.head event).Key
          | _ -> failtest $"no event: {line}" ]

/// The run succeeded.
let succeeds result =
    Expect.equal result.Code 0 $"exit code; the error stream: {result.Err}"
    Expect.equal result.Err "" "error stream"
    result

/// The run failed with this code and with one message that has all these words.
let fails code words result =
    contains words result.Err
    Expect.equal result.Code code $"exit code; the error stream: {result.Err}"
    Expect.stringStarts result.Err "normfree: " "who complains"

    for sign in [ "   at "; "Exception"; "internal error"; "frame #" ] do
        Expect.isFalse (result.Err.Contains sign) $"'{sign}' in: {result.Err}"

/// A folder for the files of all tests of the tool. It is deleted when the tests end.
let scratch =
    let folder = new TempFolder()
    AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> (folder :> IDisposable).Dispose())
    folder

/// A named pipe that nobody writes to.
let pipe =
    lazy
        (let path = scratch.File "pipe"
         use made = Process.Start("mkfifo", [ path ])
         made.WaitForExit()
         path)

/// A run of two stages that takes seconds.
let tiny =
    [ "train"
      "--dataset"
      "synthetic"
      "--limit"
      "60"
      "--test-limit"
      "20"
      "--batch"
      "10"
      "--epochs"
      "2" ]
    @ [ "--width"; "0.34"; "--threads"; "1"; "--json-log"; "--out" ]

/// Its folder and what it printed.
let tinyRun =
    lazy
        (let folder = scratch.File "tiny"
         folder, runProcess (tiny @ [ folder ]) |> succeeds)

/// Its last checkpoint.
let checkpoint = lazy (Path.Combine(fst tinyRun.Value, "stage2.last.safetensors"))

/// The packed file of that checkpoint.
let packed =
    lazy
        (let path = scratch.File "tiny.packed.safetensors"
         runLine $"export --checkpoint {checkpoint.Value} --format packed --out {path}" |> succeeds |> ignore
         path)
