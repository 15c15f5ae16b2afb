/// Processes that Open MPI connects: what they compute, and what ends them.
module NormFree.Tests.Distributed.MpiTests

open System
open System.Diagnostics
open System.IO
open Expecto
open NormFree.Distributed
open NormFree.Formats.Safetensors
open NormFree.Spec
open NormFree.Training
open NormFree.Tests.Cli
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support

let private self () = Environment.ProcessPath |> Option.ofObj |> Option.defaultValue ""

/// The tensors that so many ranks come to.
let private trained ranks accumulate (folder: TempFolder) =
    let path = folder.File $"{ranks} {accumulate}"
    Mpirun.run ranks [ self (); RankProgram.Word; string accumulate; path ] |> ignore
    use file = SafetensorsFile.Open path

    Map
        [ for norm in norms ->
              norm,
              [ for entry in file.Tensors do
                    let prefix = Words.norm norm + "/"

                    if entry.Name.StartsWith prefix then
                        entry.Name.Substring prefix.Length, file.ReadAsDouble entry ] ]

let private float64 ranks accumulate =
    test $"float64: {ranks} processes, {accumulate} parts each, end where one does to 1e-12, but for batch norm" {
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
            | Scaled _ -> Expect.isLessThan distance 1e-12 $"{Words.norm norm}: {distance}"
    }

/// A run of the tool that takes a while; its steps are printed.
let private arguments limit =
    [ "train"; "--dataset"; "drawn"; "--limit"; string limit; "--test-limit"; "20"; "--batch"; "10" ]
    @ [ "--epochs"; "2"; "--width"; "0.34"; "--threads"; "1"; "--json-log"; "--out" ]

let private start ranks limit patience folder =
    Mpirun.start ranks (Mpirun.tool :: arguments limit @ [ folder; "--rank-timeout"; string patience ])

/// The job ends by itself, within the time, with words about the rank.
let private endsSaying (job: Mpirun.Job) seconds words =
    let clock = Stopwatch.StartNew()
    let code = job.AwaitEnd seconds
    Expect.notEqual code 0 "exit code"
    contains words job.Err
    clock.Elapsed

let private epochs folder = (RunFolder.readRun { Path = folder }).Epochs

/// How often each of these words was printed.
let private times (text: string) (words: string list) = [ for word in words -> text.Split(word).Length - 1 ]

let private failing =
    [ for what, failures, others, told, untold in
          [ "one rank alone, when the others end well", "1:torn", "end", [ "normfree: rank 1 on"; ": torn" ], []
            "two with reasons of their own, when the other ends well",
            "1:torn,2:bent",
            "end",
            [ "normfree: rank 1 on"; ": torn"; "normfree: rank 2 on"; ": bent" ],
            []
            "all with the same reason, by the first one",
            "0:torn,1:torn,2:torn",
            "end",
            [ "normfree: torn" ],
            [ "rank 1 on"; "rank 2 on" ]
            "all, of which one has another reason",
            "0:torn,1:torn,2:bent",
            "end",
            [ "rank 0 on"; "rank 1 on"; "rank 2 on"; ": bent" ],
            []
            "two with reasons of their own, while the other waits for them",
            "0:torn,2:bent",
            "wait",
            [ "normfree: rank 0 on"; ": torn"; "normfree: rank 2 on"; ": bent" ],
            [ "rank 1 on" ] ] do
          test $"failures are told once: {what}" {
              use job = Mpirun.start 3 [ self (); RankProgram.Word; failures; others; "fail" ]
              Expect.equal (job.AwaitEnd 60.0) 1 "exit code"
              Expect.allEqual (times job.Err told) 1 $"told once: {job.Err}"
              Expect.allEqual (times job.Err untold) 0 $"not told: {job.Err}"
          } ]

let private hanging =
    test "a rank that hangs ends the job, under its name" {
        use folder = new TempFolder()
        use job = start 2 4000 3 (folder.File "run")
        job.AwaitWords "StepDone"
        Mpirun.signal "STOP" (Mpirun.processOf job 1)
        endsSaying job 40.0 [ "normfree: rank 1 on"; "3 s"; "hangs" ] |> ignore
    }

let private missing =
    test "a process that never starts MPI ends the job" {
        use job = Mpirun.start 2 [ self (); RankProgram.Word; "miss" ]
        endsSaying job 60.0 [ "normfree: Not all 2 processes have started within 5 s" ] |> ignore
    }

/// A job that fails takes 20 seconds, most of which it waits: two of them are quick tests.
let quick =
    testSequencedGroup "MPI"
    <| testList
        "MPI"
        [ float64 3 1
          List.head failing
          hanging
          test "the tool as two processes: one log, one folder, and it goes on alone" {
              use folder = new TempFolder()
              let run = folder.File "run"
              let printed = Mpirun.run 2 (Mpirun.tool :: arguments 30 @ [ run; "--norm"; "batch-norm" ])
              let events = Tool.eventNames (printed.TrimEnd())
              let told name = events |> List.filter ((=) name) |> List.length
              Expect.equal (told "StageBegins", told "EpochDone", told "StepDone") (2, 4, 12) "what is told, once"
              contains [ "batch norm normalises each part"; "ranks 2"; "mean over the ranks" ] printed
              Expect.equal (epochs run |> List.map _.Train.Images) [ 30; 30; 30; 30 ] "images of all ranks"
              Expect.equal (epochs run |> List.map _.Test.Images) [ 20; 20; 20; 20 ] "test images of all ranks"
              let again = Tool.run [ "train"; "--resume"; "--out"; run ] |> Tool.succeeds
              contains [ "activations+weights" ] again.Out
          } ]

/// An interrupted job keeps its step, and goes on with another number of ranks to where one process would have come.
let private interrupted =
    test "SIGTERM to mpirun keeps the step; three ranks go on where two were, one where three were" {
        use folder = new TempFolder()
        let run, whole = folder.File "run", folder.File "whole"
        let resume = [ Mpirun.tool; "train"; "--resume"; "--out"; run ]
        let settings folder = arguments 8000 @ [ folder ] |> List.except [ "--json-log" ]

        let interrupt (job: Mpirun.Job) =
            use job = job
            job.AwaitWords "stage activations"
            // It asks the ranks to end three seconds later, and reads nothing of theirs meanwhile: a line a step would fill its buffer.
            Mpirun.signal "TERM" job.Id
            endsSaying job 60.0 [ "All steps are kept" ] |> ignore

        interrupt (Mpirun.start 2 (Mpirun.tool :: settings run))
        let first = (Checkpoint.readState ((RunFolder.at run).Last 1)).Position
        interrupt (Mpirun.start 3 resume)
        let second = (Checkpoint.readState ((RunFolder.at run).Last 1)).Position
        Expect.isGreaterThan (second.Epoch, second.Step) (first.Epoch, first.Step) "it has gone on"
        Tool.run (List.tail resume) |> Tool.succeeds |> ignore
        Tool.run (settings whole) |> Tool.succeeds |> ignore

        // The same images in the same order: float32 sums differ in their last bits, and little comes of it in so few steps.
        for found, expected in List.zip (epochs run) (epochs whole) do
            Expect.equal found.Train.Images expected.Train.Images "images"
            Expect.floatClose { absolute = 0.05; relative = 0.0 } found.Train.Loss expected.Train.Loss "loss"

        let changes =
            (RunFolder.readRun { Path = run }).Configuration
            |> List.map snd
            |> List.filter _.Contains("instead of")

        Expect.hasLength changes 2 "changes of arithmetic"
        contains [ "ranks 3, "; "instead of"; "ranks 2, " ] changes[0]
    }

/// Takes what is left of a disk.
let private fill (path: string) =
    use file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 0)

    try
        while true do
            file.Write(Array.zeroCreate<byte> 1024, 0, 1024)
    with :? IOException ->
        ()

let private fullDisk =
    test "the first rank's full disk ends the job under its name, and what was kept before is intact" {
        use folder = new TempFolder()
        use mount = Process.Start("mount", [ "-t"; "tmpfs"; "-o"; "size=2m"; "none"; folder.Path ])
        mount.WaitForExit()

        if mount.ExitCode <> 0 then
            skiptest "this user cannot mount a small file system"

        try
            let run = folder.File "run"
            use job = start 2 200 30 run
            job.AwaitWords "EpochDone"
            fill (folder.File "filler")
            endsSaying job 60.0 [ "rank 0 on"; "normfree: " ] |> ignore
            Expect.isEmpty (Directory.GetFiles(run, "*.tmp")) "files left half-written"
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
              test $"SIG{name} to rank {rank} of three ends the job within a minute, under its name" {
                  use folder = new TempFolder()
                  use job = start 3 8000 20 (folder.File "run")
                  job.AwaitWords "StepDone"
                  Mpirun.signal name (Mpirun.processOf job rank)

                  let words =
                      if name = "KILL" then
                          [ $"rank {rank}"; "signal 9" ]
                      else
                          [ $"rank {rank} on"; "hangs" ]

                  let took = endsSaying job 60.0 words
                  printfn $"SIG{name} to rank {rank}: the job ended after {took.TotalSeconds:F1} s"
              } ]
