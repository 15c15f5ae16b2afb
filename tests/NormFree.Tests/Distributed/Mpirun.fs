/// mpirun as a process, and the ranks that it starts.
module NormFree.Tests.Distributed.Mpirun

open System
open System.Diagnostics
open System.IO
open System.Text
open System.Threading
open Expecto
open NormFree.Tests.Golden

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

let tool = Path.Combine(GoldenFiles.repository, "artifacts", "normfree", "normfree")

let private text path =
    try
        File.ReadAllText path
    with
    | :? IOException
    | :? UnauthorizedAccessException -> ""

/// The processes that another one has started, and the words that the system knows of each behind its name, which ends with a bracket.
let private children (parent: int) =
    [ for path in Directory.GetDirectories "/proc" do
          match Int32.TryParse(Path.GetFileName path) with
          | true, id ->
              let behind = (text $"{path}/stat").Split ')' |> Array.last
              let words = behind.Split(' ', StringSplitOptions.RemoveEmptyEntries)

              if words.Length > 12 && words[1] = string parent then
                  id, words
          | _ -> () ]

/// Seconds of processors that a job's ranks have had.
let private worked job = List.sum [ for _, words in children job -> (float words[11] + float words[12]) / 100.0 ]

/// A job under way; what its ranks print is collected.
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

    /// Waits until a rank has printed these words: as long as the ranks have not had ten times the processors that it takes. On a machine with much
    /// other work that is long.
    member this.AwaitWords(words: string) =
        let clock = Stopwatch.StartNew()

        while not (this.Out.Contains words) do
            if job.HasExited || worked job.Id > 100.0 || clock.Elapsed.TotalMinutes > 10.0 then
                failtest
                    $"'{words}' was not printed in {clock.Elapsed}, {worked job.Id} s of processors: {this.Out} {this.Err}"

            Thread.Sleep 50

    /// Waits for the end; its exit code.
    member this.AwaitEnd(seconds: float) =
        if not (job.WaitForExit(TimeSpan.FromSeconds seconds)) then
            job.Kill true
            failtest $"the job still runs after {seconds} s: {this.Out} {this.Err}"

        job.WaitForExit()
        job.ExitCode

    interface IDisposable with
        member _.Dispose() =
            if not job.HasExited then
                job.Kill true

            job.Dispose()

/// Starts a program as so many ranks on this machine, one thread each.
let start ranks (command: string list) =
    let options =
        [ "-n"; string ranks; "--oversubscribe"; "--bind-to"; "none" ]
        @ [ "--mca"; "odls_base_sigkill_timeout"; "3"; "--mca"; "btl"; "self,vader,tcp" ]

    let info =
        ProcessStartInfo(
            program (),
            options @ command,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true
        )

    for name in [ "OMPI_ALLOW_RUN_AS_ROOT"; "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM" ] do
        info.Environment[name] <- "1"

    match Process.Start info with
    | null -> failtest "mpirun does not start"
    | job -> new Job(job)

/// Runs a program as so many ranks to its end, which must be a good one.
let run ranks (command: string list) =
    use job = start ranks command
    let code = job.AwaitEnd 120.0
    Expect.equal code 0 $"exit code: {job.Out} {job.Err}"
    job.Out

/// The process that is this rank of a job.
let processOf (job: Job) rank =
    children job.Id
    |> List.map fst
    |> List.tryFind (fun id ->
        (text $"/proc/{id}/environ").Split('\000') |> Array.contains $"OMPI_COMM_WORLD_RANK={rank}")
    |> Option.defaultWith (fun () -> failtest $"rank {rank} does not run: {job.Out} {job.Err}")

/// Sends a process a signal.
let signal (name: string) (id: int) =
    use kill = Process.Start("kill", [ $"-{name}"; string id ])
    kill.WaitForExit()
