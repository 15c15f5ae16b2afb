namespace NormFree.Cli

open System
open System.Diagnostics
open System.IO
open System.Runtime.InteropServices
open System.Threading
open NormFree.Distributed
open NormFree.Platform
open NormFree.Runs

/// <summary><c>normfree train --ranks</c> and <c>--restarts</c>: starts the training as another process, or with mpirun as several, and restarts it
/// after a failure.</summary>
/// <remarks>A process cannot do this from inside an MPI job: mpirun ends all ranks when one of them dies.</remarks>
[<RequireQualifiedAccess>]
module internal Supervisor =

    type private Job =
        {
            Limits: Supervision.Limits
            Ranks: int
            /// Where the ranks run; None if mpirun decides.
            Hosts: string list option
            Folder: RunFolder
            Deadline: DateTimeOffset option
        }

    /// The options that the ranks do not get.
    let private own =
        [ Options.Execution.ranks.Spec.Name
          Options.Execution.hosts.Spec.Name
          Options.Execution.restarts.Spec.Name
          Options.Execution.minRanks.Spec.Name ]

    let isRequested (args: Arguments) = args.Given |> List.exists (fun (name, _) -> List.contains name own)

    let private refuse problem = raise (UsageException problem)

    let private jobOf (args: Arguments) =
        if Launcher.Processes > 1 then
            refuse "--ranks, --hosts, --restarts and --min-ranks start mpirun: run the command without a launcher."

        let hosts = args.TryGet Options.Execution.hosts

        let ranks =
            args.TryGet Options.Execution.ranks
            |> Option.orElse (Option.map List.length hosts)
            |> Option.defaultValue 1

        let minRanks = args.Get Options.Execution.minRanks

        if minRanks > ranks then
            refuse $"--min-ranks {minRanks} is more than the {ranks} ranks of the job."

        if hosts |> Option.exists (fun hosts -> hosts.Length < ranks) then
            refuse $"--ranks {ranks} needs as many --hosts; a host may be listed several times."

        match args.TryGet Options.Run.out with
        | None -> refuse "--ranks and --restarts need --out FOLDER, from which the run is resumed."
        | Some folder ->
            { Limits = { Restarts = args.Get Options.Execution.restarts; MinRanks = minRanks }
              Ranks = ranks
              Hosts = hosts
              Folder = { Path = folder }
              Deadline = TrainCommand.deadline args }

    let private path =
        lazy (Environment.GetEnvironmentVariable "PATH" |> Option.ofObj |> Option.defaultValue "")

    let private mpirun =
        lazy
            (Seq.allPairs [ "mpirun.openmpi"; "mpirun" ] (path.Value.Split Path.PathSeparator)
             |> Seq.map (fun (name, folder) -> Path.Combine(folder, name))
             |> Seq.tryFind File.Exists
             |> Option.defaultWith (fun () ->
                 raise (
                     DistributedException
                         "several ranks need Open MPI's mpirun, which is not on the PATH (Debian: apt-get install openmpi-bin)."
                 )))

    /// This program: its own executable, or dotnet and the assembly.
    let private self () =
        let executable = Environment.ProcessPath |> Option.ofObj |> Option.defaultValue "normfree"

        if Path.GetFileNameWithoutExtension executable = "dotnet" then
            [ executable; Environment.GetCommandLineArgs()[0] ]
        else
            [ executable ]

    /// Arguments of mpirun, unless the user has set the variable that stands for them.
    let private unlessSet (variable: string) arguments =
        if isNull (Environment.GetEnvironmentVariable variable) then arguments else []

    let private launch (ranks: int) (hosts: string list option) =
        if ranks = 1 && hosts.IsNone then
            []
        else
            [ mpirun.Value; "-n"; string ranks ]
            @ (match hosts with
               | Some hosts -> [ "--host"; String.Join(',', hosts) ]
               | None -> [])
            @ unlessSet "OMPI_MCA_hwloc_base_binding_policy" [ "--bind-to"; "none" ]
            @ unlessSet "OMPI_MCA_odls_base_sigkill_timeout" [ "--mca"; "odls_base_sigkill_timeout"; "10" ]

    /// The arguments of the training itself. A run that exists is resumed with those that a resumed run takes.
    let private training (args: Arguments) (job: Job) =
        let name = Options.Run.timeLimit.Spec.Name
        let given = args.Given |> List.filter (fun (given, _) -> given <> name && not (List.contains given own))

        let given =
            if RunFolder.holdsRun job.Folder && not (args.Has Options.Run.resume) then
                (Options.Run.resume.Spec.Name, "")
                :: List.filter (fst >> ResumedRun.allowedOptions.Value.Contains) given
            else
                given

        let limit =
            job.Deadline |> Option.map (fun time -> name, Options.Run.timeText (time - DateTimeOffset.UtcNow))

        "train"
        :: [ for name, value in given @ Option.toList limit -> if value = "" then name else $"{name}={value}" ]

    let private start (words: string list) quiet =
        let info =
            ProcessStartInfo(words.Head, words.Tail, RedirectStandardOutput = quiet, RedirectStandardError = quiet)

        match Process.Start info with
        | null -> raise (IOException $"{words.Head} does not start.")
        | started -> started

    /// How long a host may take to run an empty program.
    let private probeTime = TimeSpan.FromSeconds 30.0

    let private answers (host: string) =
        use probe = start [ mpirun.Value; "-n"; "1"; "--host"; host; "true" ] true
        probe.OutputDataReceived.Add ignore
        probe.ErrorDataReceived.Add ignore
        probe.BeginOutputReadLine()
        probe.BeginErrorReadLine()

        if probe.WaitForExit probeTime then
            probe.ExitCode = 0
        else
            probe.Kill true
            false

    /// The hosts that still answer; each is asked once.
    let private answering (hosts: string list) =
        let up = hosts |> List.distinct |> List.filter answers |> set
        hosts |> List.filter up.Contains

    /// Identifies the newest checkpoint of the run.
    let private newestCheckpoint folder =
        [ 2; 1 ]
        |> List.tryPick (fun stage -> List.tryHead (RunFolder.checkpoints folder stage))
        |> Option.map (fun (_, path) -> $"{path} {File.GetLastWriteTimeUtc path:O}")
        |> Option.defaultValue ""

    /// Time in which the other ranks of a job end on their nodes and release the run folder.
    let private pause (job: Job) = TimeSpan.FromSeconds(if job.Hosts.IsSome then 10.0 else 2.0)

    /// Whether this process has a terminal, which sends Ctrl-C to the training too.
    let private hasTerminal () =
        try
            use _ = File.OpenRead "/dev/tty"
            true
        with
        | :? IOException
        | :? UnauthorizedAccessException -> false

    /// The running training, and whether a signal asked to end it.
    type private Running() =
        let gate = obj ()
        let mutable current: Process option = None
        let interrupted = new ManualResetEventSlim()

        member _.IsInterrupted = interrupted.IsSet

        /// Waits before a restart, or until a signal.
        member _.Pause(time: TimeSpan) = interrupted.Wait time |> ignore

        /// Passes the first signal on. The training ends by itself after writing a checkpoint.
        member _.Interrupt(signal: PosixSignal) =
            lock gate (fun () ->
                interrupted.Set()

                if signal = PosixSignal.SIGTERM || not (hasTerminal ()) then
                    current |> Option.iter (fun training -> ProcessControl.Terminate training.Id))

        /// Runs a training to its end and returns its exit code; None if a signal came before.
        member _.Run(words: string list) =
            let started =
                lock gate (fun () ->
                    if not interrupted.IsSet then
                        current <- Some(start words false)

                    current)

            match started with
            | None -> None
            | Some training ->
                training.WaitForExit()
                lock gate (fun () -> current <- None)
                use training = training
                Some training.ExitCode

    let rec private attempt (args: Arguments) (job: Job) (running: Running) (earlier: Supervision.Attempt list) =
        let isTimeUp =
            job.Deadline |> Option.exists (fun time -> time - DateTimeOffset.UtcNow < TimeSpan.FromSeconds 1.0)

        let code =
            if isTimeUp then
                None
            else
                running.Run(launch job.Ranks job.Hosts @ self () @ training args job)

        match code, running.IsInterrupted with
        | Some code, false -> next args job running earlier code
        | Some code, true -> code
        | None, true -> int Outcome.Failed
        | None, false ->
            Output.error (TrainCommand.timeIsUp job.Folder)
            int Outcome.TimeLimit

    and private next args job running earlier code =
        let ended: Supervision.Attempt =
            { Ranks = job.Ranks
              Code = code
              HasRun = RunFolder.holdsRun job.Folder
              Checkpoint = newestCheckpoint job.Folder }

        let hosts = lazy (Option.map answering job.Hosts)
        let count = job.Hosts |> Option.map (fun _ () -> hosts.Value.Value.Length)

        match Supervision.decide job.Limits earlier ended count with
        | Supervision.End reason ->
            reason |> Option.iter Output.error
            code
        | Supervision.Restart ranks ->
            let number = earlier.Length + 1
            let noun = if ranks = 1 then "rank" else "ranks"

            Output.warn
                $"the training ended with {Supervision.describe code}. Restart {number} of {job.Limits.Restarts} with {ranks} {noun}."

            running.Pause(pause job)
            attempt args { job with Ranks = ranks; Hosts = hosts.Value } running (ended :: earlier)

    /// <summary>Runs the command.</summary>
    let run (args: Arguments) =
        let job = jobOf args
        let running = Running()
        use _ = Signals.atFirst running.Interrupt

        match attempt args job running [] with
        | 0 -> ()
        | code -> raise (AlreadyReportedException(enum<Outcome> code))
