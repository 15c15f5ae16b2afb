/// Runs mpirun and the ranks that it starts.
module NormFree.Tests.Distributed.Mpirun

open System
open System.Diagnostics
open System.IO
open System.Text
open System.Threading
open Expecto
open NormFree.Tests

let private programs = [ "mpirun.openmpi"; "mpirun" ]

let private onPath name =
    (Environment.GetEnvironmentVariable "PATH" |> Option.ofObj |> Option.defaultValue "").Split ':'
    |> Seq.map (fun folder -> Path.Combine(folder, name))
    |> Seq.tryFind File.Exists

/// Open MPI's mpirun, or a skipped test.
let private program () =
    match List.tryPick onPath programs with
    | Some path -> path
    | None -> skiptest "Open MPI is not installed (Debian: openmpi-bin)"

let tool = Path.Combine(repository, "artifacts", "normfree", "normfree")

let private text path =
    try
        File.ReadAllText path
    with
    | :? IOException
    | :? UnauthorizedAccessException -> ""

/// The child processes of a process, with the fields of /proc/ID/stat after the command name, which ends with a bracket.
let private children (parent: int) =
    [ for path in Directory.GetDirectories "/proc" do
          match Int32.TryParse(Path.GetFileName path) with
          | true, id ->
              let rest = (text $"{path}/stat").Split ')' |> Array.last
              let fields = rest.Split(' ', StringSplitOptions.RemoveEmptyEntries)

              if fields.Length > 12 && fields[1] = string parent then
                  id, fields
          | _ -> () ]

/// The processes below a process.
let rec private descendants (parent: int) : int list =
    [ for child, _ in children parent do
          child
          yield! descendants child ]

/// The processor time of a job's ranks in seconds.
let private cpuSeconds job = List.sum [ for _, fields in children job -> (float fields[11] + float fields[12]) / 100.0 ]

/// A running job, whose output is collected.
type Job(job: Process) =
    let output, errors = StringBuilder(), StringBuilder()

    let collect (target: StringBuilder) (line: string | null) =
        if not (isNull line) then
            lock target (fun () -> target.AppendLine line |> ignore)

    do
        job.OutputDataReceived.Add(fun line -> collect output line.Data)
        job.ErrorDataReceived.Add(fun line -> collect errors line.Data)
        job.BeginOutputReadLine()
        job.BeginErrorReadLine()

    member _.Id = job.Id
    member _.Out = lock output (fun () -> string output)
    member _.Err = lock errors (fun () -> string errors)

    /// Waits until the error stream has the text.
    member this.AwaitError(expected: string) =
        let clock = Stopwatch.StartNew()

        while not (this.Err.Contains expected) do
            if job.HasExited || clock.Elapsed.TotalMinutes > 10.0 then
                failtest $"'{expected}' was not printed in {clock.Elapsed}: {this.Out} {this.Err}"

            Thread.Sleep 50

    /// Waits until a rank has printed the text. The limit is processor time, ten times what the job needs, so that a busy machine does not fail the test.
    member this.AwaitOutput(expected: string) =
        let clock = Stopwatch.StartNew()

        while not (this.Out.Contains expected) do
            if job.HasExited || cpuSeconds job.Id > 100.0 || clock.Elapsed.TotalMinutes > 10.0 then
                failtest
                    $"'{expected}' was not printed in {clock.Elapsed}, {cpuSeconds job.Id} s of processor time: {this.Out} {this.Err}"

            Thread.Sleep 50

    /// Waits for the job to end and returns its exit code.
    member this.AwaitEnd(seconds: float) =
        if not (job.WaitForExit(TimeSpan.FromSeconds seconds)) then
            job.Kill true
            failtest $"the job is still running after {seconds} s: {this.Out} {this.Err}"

        job.WaitForExit()
        job.ExitCode

    interface IDisposable with
        member _.Dispose() =
            if not job.HasExited then
                job.Kill true

            job.Dispose()

/// Starts a program that is, or becomes, a job of ranks on this machine.
let private startJob (program: string) (arguments: string list) variables =
    let info =
        ProcessStartInfo(
            program,
            arguments,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true
        )

    for name, value in [ "OMPI_ALLOW_RUN_AS_ROOT", "1"; "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1" ] @ variables do
        info.Environment[name] <- value

    match Process.Start info with
    | null -> failtest $"{program} did not start"
    | job -> new Job(job)

/// Starts a program with the given number of ranks on this machine. mpirun kills what does not end in so many seconds after SIGTERM.
let startWith (killAfter: int) (ranks: int) (command: string list) =
    let options =
        [ "-n"; string ranks; "--oversubscribe"; "--bind-to"; "none" ]
        @ [ "--mca"; "odls_base_sigkill_timeout"; string killAfter; "--mca"; "btl"; "self,vader,tcp" ]

    startJob (program ()) (options @ command) []

/// Starts a program with the given number of ranks on this machine.
let start (ranks: int) (command: string list) = startWith 3 ranks command

/// Starts the tool, which starts mpirun itself.
let supervise (arguments: string list) =
    startJob
        tool
        arguments
        [ "OMPI_MCA_rmaps_base_oversubscribe", "1"
          "OMPI_MCA_odls_base_sigkill_timeout", "3"
          "OMPI_MCA_btl", "self,vader,tcp" ]

/// Runs a program with the given number of ranks, which must succeed, and returns its output.
let run ranks (command: string list) =
    use job = start ranks command
    let code = job.AwaitEnd 600.0
    Expect.equal code 0 $"exit code: {job.Out} {job.Err}"
    job.Out

/// The process ID of a job's rank.
let processOf (job: Job) rank =
    descendants job.Id
    |> List.tryFind (fun id ->
        (text $"/proc/{id}/environ").Split('\000') |> Array.contains $"OMPI_COMM_WORLD_RANK={rank}")
    |> Option.defaultWith (fun () -> failtest $"rank {rank} is not running: {job.Out} {job.Err}")

/// The only child of a process that is no launcher.
let childOf (job: Job) =
    match children job.Id with
    | [ id, _ ] -> id
    | others -> failtest $"{others.Length} children: {job.Out} {job.Err}"

/// Sends a signal to a process.
let signal (name: string) (id: int) =
    use kill = Process.Start("kill", [ $"-{name}"; string id ])
    kill.WaitForExit()
