/// Processes connected by Open MPI: their results, and how their jobs end.
module NormFree.Tests.Distributed.MpiTests

open System
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Distributed
open NormFree.Formats.Safetensors
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

let private self () = Environment.ProcessPath |> Option.ofObj |> Option.defaultValue ""

/// The tensors that a training with the given number of ranks ends with.
let private trained ranks accumulate (folder: TempFolder) =
    let path = folder.File $"{ranks} {accumulate}"
    Mpirun.run ranks [ self (); RankProgram.Flag; string accumulate; path ] |> ignore
    use file = SafetensorsFile.Open path

    Map
        [ for norm in norms ->
              norm,
              [ for entry in file.Tensors do
                    let prefix = Names.norm norm + "/"

                    if entry.Name.StartsWith prefix then
                        entry.Name.Substring prefix.Length, file.ReadAsDouble entry ] ]

let private float64 ranks accumulate =
    test
        $"float64: {ranks} processes with {accumulate} micro-batches each match one process within 1e-12, except for batch norm" {
        use folder = new TempFolder()
        let found = trained ranks accumulate folder

        for norm in norms do
            let alone = Trainings.inFloat64 1 norm OneRank.Instance
            let sorted = List.sortBy fst
            let distance = Trainings.distance (sorted found[norm]) (sorted alone.Tensors)

            match norm with
            | BatchNorm -> Expect.isGreaterThan distance 1e-3 $"batch norm: {distance}"
            | NoNorm
            | BnFree _
            | Scaled _ -> Expect.isLessThan distance 1e-12 $"{Names.norm norm}: {distance}"
    }

/// Arguments for a long training that prints its steps.
let private arguments limit =
    [ "train"
      "--dataset"
      "synthetic"
      "--limit"
      string limit
      "--test-limit"
      "20"
      "--batch"
      "10" ]
    @ [ "--epochs"; "2"; "--width"; "0.34"; "--threads"; "1"; "--json-log"; "--out" ]

let private startWith killAfter ranks (limit: int) (timeout: int) folder =
    Mpirun.startWith killAfter ranks (Mpirun.tool :: arguments limit @ [ folder; "--rank-timeout"; string timeout ])

let private start ranks limit timeout folder = startWith 3 ranks limit timeout folder

/// The job fails by itself in time with the expected error output; returns how long it took.
let private failsWith (job: Mpirun.Job) seconds expected =
    let clock = Stopwatch.StartNew()
    let code = job.AwaitEnd seconds
    Expect.notEqual code 0 "exit code"
    contains expected job.Err
    clock.Elapsed

let private epochs folder = (RunFolder.readRun { Path = folder }).Epochs

/// How often each part occurs in a text.
let private occurrences (text: string) (parts: string list) = [ for part in parts -> text.Split(part).Length - 1 ]

let private failing =
    [ for what, failures, others, reported, notReported in
          [ "one rank, while the others succeed", "1:torn", "end", [ "normfree: rank 1 on"; ": torn" ], []
            "two ranks with different reasons, while the other succeeds",
            "1:torn,2:bent",
            "end",
            [ "normfree: rank 1 on"; ": torn"; "normfree: rank 2 on"; ": bent" ],
            []
            "all ranks with the same reason, reported by rank 0",
            "0:torn,1:torn,2:torn",
            "end",
            [ "normfree: torn" ],
            [ "rank 1 on"; "rank 2 on" ]
            "all ranks, one with another reason",
            "0:torn,1:torn,2:bent",
            "end",
            [ "rank 0 on"; "rank 1 on"; "rank 2 on"; ": bent" ],
            []
            "two ranks with different reasons, while the other waits",
            "0:torn,2:bent",
            "wait",
            [ "normfree: rank 0 on"; ": torn"; "normfree: rank 2 on"; ": bent" ],
            [ "rank 1 on" ] ] do
          test $"each failure is reported once: {what}" {
              use job = Mpirun.start 3 [ self (); RankProgram.Flag; failures; others; "fail" ]
              Expect.equal (job.AwaitEnd 60.0) 1 "exit code"
              Expect.allEqual (occurrences job.Err reported) 1 $"reported once: {job.Err}"
              Expect.allEqual (occurrences job.Err notReported) 0 $"not reported: {job.Err}"
          } ]

let private hanging =
    test "a hanging rank ends the job, and the message names it" {
        use folder = new TempFolder()
        // The rank is named before the job is ended, so mpirun need not wait for the one that hangs.
        use job = startWith 1 2 4000 3 (folder.File "run")
        job.AwaitOutput "StepDone"
        Mpirun.signal "STOP" (Mpirun.processOf job 1)
        failsWith job 40.0 [ "normfree: rank 1 on"; "3 s"; "hangs" ] |> ignore
    }

let private missing =
    test "a process that never starts MPI ends the job" {
        use job = Mpirun.start 2 [ self (); RankProgram.Flag; "miss" ]
        failsWith job 60.0 [ "normfree: Not all 2 processes started within 5 s" ] |> ignore
    }

/// A failing job takes 20 s, mostly waiting, so only two of them are among the quick tests.
let quick =
    testSequencedGroup "MPI"
    <| testList
        "MPI"
        [ float64 3 1
          List.head failing
          hanging
          test "the tool as two processes writes one log and one folder, and one process resumes the run" {
              use folder = new TempFolder()
              let run = folder.File "run"
              let printed = Mpirun.run 2 (Mpirun.tool :: arguments 30 @ [ run; "--norm"; "batch-norm" ])
              let events = Tool.eventNames (printed.TrimEnd())
              let count name = events |> List.filter ((=) name) |> List.length

              Expect.equal
                  (count "StageStarted", count "EpochDone", count "StepDone")
                  (2, 4, 12)
                  "events, each reported once"

              contains [ "batch norm normalises each part"; "ranks 2"; "averaged over the ranks" ] printed
              Expect.equal (epochs run |> List.map _.Train.Images) [ 30; 30; 30; 30 ] "images of all ranks"
              Expect.equal (epochs run |> List.map _.Test.Images) [ 20; 20; 20; 20 ] "test images of all ranks"
              let again = Tool.run [ "train"; "--resume"; "--out"; run ] |> Tool.succeeds
              contains [ "activations+weights" ] again.Out
          } ]

/// An interrupted job saves its step. It resumes with another number of ranks and ends like a single process.
let private interrupted =
    test "SIGTERM to mpirun saves the step; three ranks resume a run of two, and one resumes a run of three" {
        use folder = new TempFolder()
        let run, whole = folder.File "run", folder.File "whole"
        let resume = [ Mpirun.tool; "train"; "--resume"; "--out"; run ]
        let settings folder = arguments 8000 @ [ folder ] |> List.except [ "--json-log" ]

        let interrupt (job: Mpirun.Job) =
            use job = job
            job.AwaitOutput "stage activations"
            // mpirun forwards the signal after three seconds and reads no output meanwhile: one line per step would fill its buffer.
            Mpirun.signal "TERM" job.Id
            failsWith job 60.0 [ "All steps are kept" ] |> ignore

        interrupt (Mpirun.start 2 (Mpirun.tool :: settings run))
        let first = (Checkpoint.readState ((RunFolder.at run).Last 1)).TrainingCursor
        interrupt (Mpirun.start 3 resume)
        let second = (Checkpoint.readState ((RunFolder.at run).Last 1)).TrainingCursor
        Expect.isGreaterThan (second.Epoch, second.Step) (first.Epoch, first.Step) "the run has advanced"
        Tool.run (List.tail resume) |> Tool.succeeds |> ignore
        Tool.run (settings whole) |> Tool.succeeds |> ignore

        // The same images in the same order: float32 sums differ in their last bits, which matters little in so few steps.
        for found, expected in List.zip (epochs run) (epochs whole) do
            Expect.equal found.Train.Images expected.Train.Images "images"
            Expect.floatClose { absolute = 0.05; relative = 0.0 } found.Train.Loss expected.Train.Loss "loss"

        let changes =
            (RunFolder.readRun { Path = run }).Configuration
            |> List.map snd
            |> List.filter _.Contains("instead of")

        Expect.hasLength changes 2 "changes of the number of ranks"
        contains [ "ranks 3, "; "instead of"; "ranks 2, " ] changes[0]
    }

/// Fills a disk.
let private fill (path: string) =
    use file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 0)

    try
        while true do
            file.Write(Array.zeroCreate<byte> 1024, 0, 1024)
    with :? IOException ->
        ()

let private fullDisk =
    test "a full disk on rank 0 ends the job, the message names the rank, and earlier checkpoints are intact" {
        use folder = new TempFolder()
        use mount = Process.Start("mount", [ "-t"; "tmpfs"; "-o"; "size=2m"; "none"; folder.Path ])
        mount.WaitForExit()

        if mount.ExitCode <> 0 then
            skiptest "this user cannot mount a small file system"

        try
            let run = folder.File "run"
            use job = start 2 200 30 run
            job.AwaitOutput "EpochDone"
            fill (folder.File "filler")
            failsWith job 60.0 [ "rank 0 on"; "normfree: " ] |> ignore
            Expect.isEmpty (Directory.GetFiles(run, "*.tmp")) "partial files"
            Checkpoint.readState ((RunFolder.at run).Last 1) |> ignore
        finally
            use unmount = Process.Start("umount", [ folder.Path ])
            unmount.WaitForExit()
    }

let soak =
    testList
        "ranks"
        [ float64 2 1
          float64 2 3
          interrupted
          fullDisk
          missing
          yield! List.tail failing

          for name, rank in [ "STOP", 0; "STOP", 2; "KILL", 0; "KILL", 1 ] do
              test $"SIG{name} to rank {rank} of three ends the job within a minute, and the message names the rank" {
                  use folder = new TempFolder()
                  use job = start 3 8000 20 (folder.File "run")
                  job.AwaitOutput "StepDone"
                  Mpirun.signal name (Mpirun.processOf job rank)

                  let expected =
                      if name = "KILL" then
                          [ $"rank {rank}"; "signal 9" ]
                      else
                          [ $"rank {rank} on"; "hangs" ]

                  let took = failsWith job 60.0 expected
                  printfn $"SIG{name} to rank {rank}: the job ended after {took.TotalSeconds:F1} s"
              } ]
