/// What becomes of a run's files whatever happens around them.
module NormFree.Tests.Training.RunFolderTests

open System.Diagnostics
open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests.Data.Support
open NormFree.Tests.Golden
open NormFree.Tests.Training.Support

let private data = lazy (Synthetic.dataset 3L 40 20)

let private recipe = { quick with Batch = 10 }

/// A plan with a checkpoint after every step, and what it tells.
let private plan folder keep =
    let events = ResizeArray()
    let plan = Pipeline.from data.Value |> Pipeline.into folder |> Pipeline.watchedBy events.Add
    let keeping = { Checkpoints = keep; Every = System.TimeSpan.Zero }
    { plan with Options = { plan.Options with CheckpointPolicy = keeping } }, events

let private train plan = plan |> Pipeline.train recipe (tiny NoNorm) |> look _.History

let private warnings (events: TrainingEvent seq) =
    events
    |> Seq.choose (function
        | Warning text -> Some text
        | _ -> None)
    |> Seq.toList

let private names folder = Directory.GetFileSystemEntries folder |> Array.map (Path.GetFileName >> string) |> Set

/// A finished run of stage 1.
let private finished (folder: TempFolder) keep =
    train (fst (plan folder.Path keep)) |> ignore
    RunFolder.at folder.Path

let private damage path =
    let bytes = File.ReadAllBytes path
    bytes[bytes.Length - 1] <- bytes[bytes.Length - 1] ^^^ 1uy
    File.WriteAllBytes(path, bytes)

let private kept =
    [ for keep in [ 1; 2; 4 ] do
          test $"the last {keep} checkpoints are kept, each a step older than the one after it" {
              use folder = new TempFolder()
              let run = finished folder keep
              let files = RunFolder.checkpoints run 1
              Expect.equal (List.map fst files) [ 0 .. keep - 1 ] "how many before the last"
              let positions = [ for _, path in files -> (Checkpoint.readState path).TrainingCursor ]
              let places = [ for p in positions -> p.Epoch, p.Step ]
              Expect.equal places (List.truncate keep [ 2, 0; 1, 4; 1, 3; 1, 2 ]) "where they stand"
          }

      test "fewer are kept when fewer are asked for" {
          use folder = new TempFolder()
          let run = finished folder 4
          RunFolder.rotate run 1 2
          Expect.equal (RunFolder.checkpoints run 1 |> List.map fst) [ 1 ] "the last has made room"
      }

      test "a hole in the row loses nothing" {
          use folder = new TempFolder()
          let run = finished folder 3
          let oldest = File.ReadAllBytes(run.Before 1 2)
          File.Delete(run.Before 1 1)
          RunFolder.rotate run 1 3
          Expect.equal (RunFolder.checkpoints run 1 |> List.map fst) [ 1; 2 ] "the last went into the hole"
          Expect.equal (File.ReadAllBytes(run.Before 1 2)) oldest "the oldest stayed"
      } ]

let private damaged =
    [ test "where the last checkpoint is damaged, the run says so and goes on from the one before it, to the same end" {
          use folder = new TempFolder()
          let run = finished folder 2
          let expected = Fingerprint.ofRun run
          damage (run.Last 1)
          let again, events = plan folder.Path 2
          train again |> ignore
          contains [ run.Last 1; "differs from its checksum"; "Going on from the one before it" ] (warnings events).Head
          Expect.equal (Fingerprint.ofRun run) expected "the run"
      }

      test "where none can be read, it says what to do" {
          use folder = new TempFolder()
          let run = finished folder 2
          damage (run.Last 1)
          damage (run.Before 1 1)
          let text = message<TrainingException, _>(fun () -> train (fst (plan folder.Path 2)))
          contains [ "checksum"; "No earlier checkpoint"; "another folder" ] text
      }

      test "a last checkpoint that is missing between two renames is no loss" {
          use folder = new TempFolder()
          let run = finished folder 2
          let expected = Fingerprint.ofRun run
          File.Delete(run.Last 1)
          train (fst (plan folder.Path 2)) |> ignore
          Expect.equal (Fingerprint.ofRun run) expected "the run"
      }

      test "a log that lacks an epoch is mended from the checkpoint" {
          use folder = new TempFolder()
          let run = finished folder 2
          let path = folder.File "log.jsonl"
          let lines = File.ReadAllLines path
          File.WriteAllLines(path, lines[..0])
          train (fst (plan folder.Path 2)) |> ignore
          Expect.equal (File.ReadAllLines path) lines "lines"
      }

      test "what a killed process has half-written goes at the next start, and nothing else" {
          use folder = new TempFolder()
          let run = finished folder 2
          let before = names folder.Path
          folder.Write(".stage1.last.safetensors.abcdefgh.ijk.tmp", [| 1uy |]) |> ignore
          folder.Write("mine.tmp", [| 1uy |]) |> ignore
          folder.Write("run.lock", "process 1 on nowhere"B) |> ignore
          train (fst (plan folder.Path 2)) |> ignore
          Expect.equal (names folder.Path) (before.Add "mine.tmp") "files"
          Expect.isTrue (File.Exists(run.Last 1)) "the checkpoint"
      } ]

/// Does something at the nth step.
let private atStep n (action: unit -> unit) (plan: Plan) =
    let mutable seen = 0

    let watch event =
        plan.Options.Watch event

        match event with
        | StepDone _ ->
            seen <- seen + 1

            if seen = n then
                action ()
        | _ -> ()

    { plan with Options = { plan.Options with Watch = watch } }

let private run program arguments =
    use started = Process.Start(program, (arguments: string list))
    started.WaitForExit()
    started.ExitCode

/// Does something in a folder that is a disk of 1 MB.
let private onSmallDisk (body: string -> unit) =
    use folder = new TempFolder()

    if run "mount" [ "-t"; "tmpfs"; "-o"; "size=1m"; "none"; folder.Path ] <> 0 then
        skiptest "this user cannot mount a small file system"

    try
        body folder.Path
    finally
        run "umount" [ folder.Path ] |> ignore

let private obstructed =
    [ test "a checkpoint that cannot be written is warned of, and the run goes on and keeps the next one" {
          use folder = new TempFolder()
          let free = finished folder 1
          let expected = Fingerprint.ofRun free
          use other = new TempFolder()
          let plan, events = plan other.Path 1
          let blocked = (RunFolder.at other.Path).Last 1

          let block () =
              File.Delete blocked
              Directory.CreateDirectory blocked |> ignore

          let unblock () = Directory.Delete blocked
          plan |> atStep 2 block |> atStep 5 unblock |> train |> ignore
          contains [ "is a folder"; "Training continues" ] (warnings events).Head
          Expect.equal (Fingerprint.ofRun (RunFolder.at other.Path)) expected "the run"
      }

      test "a folder that is removed under way ends the run with its stage, not before, and is not made again" {
          use parent = new TempFolder()
          let folder = parent.File "run"
          let plan, events = plan folder 1
          let mutable steps = 0

          let counted =
              plan |> atStep 2 (fun () -> Directory.Delete(folder, true)) |> atStep 8 (fun () -> steps <- 8)

          let text = message<DirectoryNotFoundException, _>(fun () -> train counted)
          contains [ folder; "there is no folder" ] text
          Expect.equal steps 8 "all steps were taken"
          Expect.isNonEmpty (warnings events) "warnings"
          Expect.isFalse (Directory.Exists folder) "the folder"
      }

      test "a folder in which nothing may be changed for a while costs a checkpoint or two, and no step" {
          use whole = new TempFolder()
          let expected = Fingerprint.ofRun (finished whole 1)
          use folder = new TempFolder()
          // Permissions do not bind root, this does.
          let immutable sign () = run "/usr/bin/chattr" [ sign + "i"; folder.Path ]

          if not (File.Exists "/usr/bin/chattr") || immutable "+" () <> 0 || immutable "-" () <> 0 then
              skiptest "this user cannot make a folder immutable, or has no chattr"

          let plan, events = plan folder.Path 1

          try
              plan |> atStep 2 (immutable "+" >> ignore) |> atStep 5 (immutable "-" >> ignore) |> train |> ignore
          finally
              immutable "-" () |> ignore

          contains [ "Training continues" ] (warnings events).Head
          Expect.equal (Fingerprint.ofRun (RunFolder.at folder.Path)) expected "the run"
      }

      test "a full disk leaves the older checkpoints, and nothing half-written" {
          onSmallDisk (fun folder ->
              let plan, events = plan folder 1
              let filler = Path.Combine(folder, "filler")

              let fill () =
                  use file = new FileStream(filler, FileMode.Create, FileAccess.Write, FileShare.None, 0)

                  try
                      while true do
                          file.Write(Array.zeroCreate<byte> 1024, 0, 1024)
                  with :? IOException ->
                      ()

              let mutable intact = ""

              let expected =
                  [ "filler"; "log.jsonl"; "run.json"; "run.lock"; "stage1.last.safetensors" ]
                  @ [ "telemetry"; "tensorboard" ]
                  |> Set

              let path = (RunFolder.at folder).Last 1

              plan
              |> atStep 2 fill
              |> atStep 4 (fun () ->
                  intact <- TrainingCursor.describe (Checkpoint.readState path).TrainingCursor
                  Expect.equal (names folder) expected "files"
                  File.Delete filler)
              |> train
              |> ignore

              Expect.equal intact "epoch 1, step 1" "the checkpoint from before"
              Expect.isNonEmpty (warnings events) "warnings"
              Expect.equal (Checkpoint.readState path).TrainingCursor (TrainingCursor.startOf 2) "the last one")
      } ]

let private locked =
    [ test "a second one is refused and told who works there" {
          use folder = new TempFolder()
          let run = RunFolder.at folder.Path
          use held = RunLock.Take run
          let text = message<TrainingException, _>(fun () -> train (fst (plan folder.Path 2)))
          contains [ $"process {System.Environment.ProcessId} on"; "works on this run"; "another folder" ] text
          (held :> System.IDisposable).Dispose()
          Expect.isEmpty (names folder.Path) "nothing is left of the lock"
      }

      test "a folder that was made for a run that is refused goes again" {
          use parent = new TempFolder()
          let folder = parent.File "run"
          using (RunLock.Take { Path = folder }) ignore
          Expect.isFalse (Directory.Exists folder) "the folder"
      } ]

/// A power cut cannot be had here; that what protects from it is done in its order can be seen.
let private durable =
    [ test "a file is flushed before it is renamed, and its folder afterwards" {
          use folder = new TempFolder()
          let trace = folder.File "trace"
          let tool = Path.Combine(GoldenFiles.repository, "artifacts", "normfree", "normfree")
          let checkpoint = Path.Combine(folder.Path, "run")

          let arguments =
              [ "-f"
                "-e"
                "trace=fsync,rename"
                "-o"
                trace
                tool
                "train"
                "--limit"
                "10"
                "--test-limit"
                "10" ]
              @ [ "--epochs"; "1"; "--width"; "0.34"; "--threads"; "1"; "--binarise"; "activations"; "--json-log" ]
              @ [ "--out"; checkpoint ]

          if not (File.Exists "/usr/bin/strace") then
              skiptest "this machine has no strace"

          Expect.equal (run "/usr/bin/strace" arguments) 0 "exit code"

          let calls =
              [ for line in File.ReadAllLines trace do
                    if line.Contains "fsync(" then
                        "fsync"
                    elif line.Contains "rename(" then
                        "rename" ]

          Expect.isGreaterThan calls.Length 6 "calls"

          for three in List.chunkBySize 3 calls do
              Expect.equal three [ "fsync"; "rename"; "fsync" ] "the calls of one file"
      } ]

let tests =
    testList
        "run folders"
        [ testList "kept" kept
          testList "damaged" damaged
          testList "obstructed" obstructed
          testList "locked" locked
          testList "durable" durable ]
