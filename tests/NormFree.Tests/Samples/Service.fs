/// The sample service as a process.
module NormFree.Tests.Samples.Service

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Net.Http
open System.Text.Json
open System.Text.RegularExpressions
open System.Threading.Tasks
open Expecto
open NormFree.Tests

/// The sample.
let sample = Path.Combine(repository, "experiments/service/bin/Release/net10.0/service")

let private info (program: string) (arguments: string list) =
    ProcessStartInfo(
        program,
        arguments @ [ "--urls"; "http://127.0.0.1:0" ],
        RedirectStandardOutput = true,
        RedirectStandardError = true
    )

/// Runs the sample to its end: its exit code and its errors.
let run (arguments: string list) =
    use service = nonNull (Process.Start(info sample arguments))
    let out, err = service.StandardOutput.ReadToEndAsync(), service.StandardError.ReadToEndAsync()

    if not (service.WaitForExit 30000) then
        service.Kill()
        failtest $"the service still runs; it wrote {out.Result}"

    service.ExitCode, err.Result

/// A running service on a free port of the loopback device.
type Service(program: string, arguments: string list) =
    let service = nonNull (Process.Start(info program arguments))
    let lines = ConcurrentQueue<string>()
    let address = TaskCompletionSource<Uri>()

    let read (line: string | null) =
        match line with
        | null -> address.TrySetException(InvalidOperationException(String.Join('\n', lines))) |> ignore
        | line ->
            lines.Enqueue line
            let found = Regex.Match(line, "Now listening on: (http://\\S+)")

            if found.Success then
                address.SetResult(Uri found.Groups[1].Value)

    do
        service.OutputDataReceived.Add(fun event -> read event.Data)
        service.ErrorDataReceived.Add(fun event -> event.Data |> Option.ofObj |> Option.iter lines.Enqueue)
        service.BeginOutputReadLine()
        service.BeginErrorReadLine()

    let client = new HttpClient(BaseAddress = address.Task.WaitAsync(TimeSpan.FromSeconds 60.0).Result)

    member _.Address = address.Task.Result
    member _.Client = client

    /// Status, headers and body of an answer to an upload.
    member _.PostAsync(path: string, bytes: byte[]) =
        task {
            use! answer = client.PostAsync(path, new ByteArrayContent(bytes))
            let! text = answer.Content.ReadAsStringAsync()
            return int answer.StatusCode, answer.Headers, text
        }

    member service.Post(path, bytes) = service.PostAsync(path, bytes).Result

    member _.Get(path: string) = client.GetStringAsync(path).Result

    /// The values of the metrics endpoint by name and labels.
    member _.MetricsAsync() =
        task {
            let! text = client.GetStringAsync "/metrics"

            return
                Map
                    [ for line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries) do
                          if not (line.StartsWith '#') then
                              let parts = line.Split ' '
                              parts[0], float parts[1] ]
        }

    member service.Metrics() = service.MetricsAsync().Result

    /// Sends SIGTERM.
    member _.Terminate() =
        use kill = Process.Start("kill", [ "-TERM"; string service.Id ])
        kill.WaitForExit()

    /// Its exit code, or None after this many seconds.
    member _.ExitCode(seconds: float) =
        if service.WaitForExit(TimeSpan.FromSeconds seconds) then
            Some service.ExitCode
        else
            None

    interface IDisposable with
        member _.Dispose() =
            client.Dispose()

            if not service.HasExited then
                service.Kill()
                service.WaitForExit()

            service.Dispose()

/// The classes and probabilities of an answer.
let predictions (json: string) =
    use document = JsonDocument.Parse json

    [ for item in document.RootElement.EnumerateArray() ->
          string (item.GetProperty("class").GetString()), item.GetProperty("probability").GetDouble() ]

/// The message of an error.
let problem (json: string) =
    use document = JsonDocument.Parse json
    string (document.RootElement.GetProperty("detail").GetString())
