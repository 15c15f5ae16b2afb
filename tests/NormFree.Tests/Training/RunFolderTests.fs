/// Run folders under failures: damaged and missing files, locks.
module NormFree.Tests.Training.RunFolderTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.Support
open NormFree.Tests.Training.RunFolderSupport

let private damage path =
    let bytes = File.ReadAllBytes path
    bytes[bytes.Length - 1] <- bytes[bytes.Length - 1] ^^^ 1uy
    File.WriteAllBytes(path, bytes)

let private kept =
    [ for keep in [ 1; 2; 4 ] do
          test $"the last {keep} checkpoints are kept, one step apart" {
              use folder = new TempFolder()
              let run = finished folder keep
              let files = RunFolder.checkpoints run 1
              Expect.equal (List.map fst files) [ 0 .. keep - 1 ] "numbers"
              let cursors = [ for _, path in files -> (Checkpoint.readState path).TrainingCursor ]
              let steps = [ for p in cursors -> p.Epoch, p.Step ]
              Expect.equal steps (List.truncate keep [ 2, 0; 1, 4; 1, 3; 1, 2 ]) "epochs and steps"
          }

      test "a smaller limit deletes the oldest checkpoints" {
          use folder = new TempFolder()
          let run = finished folder 4
          RunFolder.rotate run 1 2
          Expect.equal (RunFolder.checkpoints run 1 |> List.map fst) [ 1 ] "the last one was renamed"
      }

      test "a missing number in the sequence loses no checkpoint" {
          use folder = new TempFolder()
          let run = finished folder 3
          let oldest = File.ReadAllBytes(run.Before 1 2)
          File.Delete(run.Before 1 1)
          RunFolder.rotate run 1 3
          Expect.equal (RunFolder.checkpoints run 1 |> List.map fst) [ 1; 2 ] "the last one fills the gap"
          Expect.equal (File.ReadAllBytes(run.Before 1 2)) oldest "the oldest one is unchanged"
      } ]

let private damaged =
    [ test
          "if the last checkpoint is damaged, the run warns, resumes from the one before it and ends with the same bits" {
          use folder = new TempFolder()
          let run = finished folder 2
          let expected = Fingerprint.ofRun run
          damage (run.Last 1)
          let again, events = plan folder.Path 2
          train again |> ignore

          contains
              [ run.Last 1; "differs from its checksum"; "Resuming from the checkpoint before it" ]
              (warnings events).Head

          Expect.equal (Fingerprint.ofRun run) expected "the run"
      }

      test "if no checkpoint can be read, the error has a remedy" {
          use folder = new TempFolder()
          let run = finished folder 2
          damage (run.Last 1)
          damage (run.Before 1 1)
          let text = messageOf<TrainingException, _>(fun () -> train (fst (plan folder.Path 2)))
          contains [ "checksum"; "No earlier checkpoint"; "another folder" ] text
      }

      test
          "if the last checkpoint is missing, the run warns, resumes from the one before it and ends with the same bits" {
          use folder = new TempFolder()
          let run = finished folder 2
          let expected = Fingerprint.ofRun run
          File.Delete(run.Last 1)
          let again, events = plan folder.Path 2
          train again |> ignore
          let warning = List.exactlyOne (warnings events)
          contains [ run.Last 1; "is missing"; "Resuming from the checkpoint before it"; run.Before 1 1 ] warning
          Expect.equal (Fingerprint.ofRun run) expected "the run"
      }

      test "if all checkpoints but the best are missing, the run warns and starts again" {
          use folder = new TempFolder()
          let run = finished folder 1
          let expected = Fingerprint.ofRun run
          File.Delete(run.Last 1)
          let again, events = plan folder.Path 1
          train again |> ignore
          let warning = List.exactlyOne (warnings events)
          contains [ run.Last 1; "is missing"; "starts from its first epoch" ] warning
          Expect.equal (Fingerprint.ofRun run) expected "the run"
      }

      test
          "if a stage's checkpoints are all missing but its epochs are logged, the run warns and starts the stage again" {
          use folder = new TempFolder()
          let run = finished folder 1
          let expected = Fingerprint.ofRun run
          File.Delete(run.Last 1)
          File.Delete(run.Best 1)
          let again, events = plan folder.Path 1
          train again |> ignore
          contains [ run.Last 1; "is missing"; "starts from its first epoch" ] (List.exactlyOne (warnings events))
          Expect.equal (Fingerprint.ofRun run) expected "the run"
      }

      test "a log without its last epoch is completed from the checkpoint" {
          use folder = new TempFolder()
          let run = finished folder 2
          let path = folder.File "log.jsonl"
          let lines = File.ReadAllLines path
          File.WriteAllLines(path, lines[..0])
          train (fst (plan folder.Path 2)) |> ignore
          Expect.equal (File.ReadAllLines path) lines "lines"
      }

      test "temporary files of a killed process are deleted at the next start, and no other files" {
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

let private bestTests =
    let damageOrDelete =
        [ "missing", File.Delete, "is missing"; "damaged", damage, "differs from its checksum" ]

    [ for what, lose, said in damageOrDelete do
          test $"a {what} best checkpoint is rebuilt, bit for bit, if another checkpoint is of its epoch" {
              use folder = new TempFolder()
              let run = finished folder 9
              let expected = fileBits (run.Best 1), (BestCheckpoint.tryEpoch run 1).Value.Epoch
              let fingerprint = Fingerprint.ofRun run
              lose (run.Best 1)
              Expect.isNone (BestCheckpoint.tryEpoch run 1) "lost"
              let again, events = plan folder.Path 9
              train again |> ignore
              contains [ run.Best 1; said; "It was rebuilt from" ] (List.exactlyOne (warnings events))
              Expect.equal (fileBits (run.Best 1), (BestCheckpoint.tryEpoch run 1).Value.Epoch) expected "the network"
              Expect.equal (Fingerprint.ofRun run) fingerprint "the run"
              let once, events = plan folder.Path 9
              train once |> ignore
              Expect.isEmpty (warnings events) "no second warning"
          }

      test "if the best epoch is lost, the best remaining one replaces it, and the run's changes say so" {
          use folder = new TempFolder()
          // At this rate all epochs have the same accuracy, so the first one is the best.
          let train plan = plan |> Pipeline.train { recipe with LearningRate = 1e-12 } (tiny NoNorm)
          fst (plan folder.Path 1) |> train |> useTrained ignore
          let run = RunFolder.at folder.Path
          Expect.equal (BestCheckpoint.tryEpoch run 1).Value.Epoch 1 "the best epoch"
          File.Delete(run.Best 1)
          let again, events = plan folder.Path 1
          let changes = train again |> useTrained _.State.Changes
          let warning = List.exactlyOne (warnings events)

          contains
              [ run.Best 1; "is missing"; "epoch 1, the best epoch so far, is lost"; "replaced by epoch 2" ]
              warning

          contains [ "epoch 1"; "is lost" ] (List.exactlyOne changes)
          Expect.equal (BestCheckpoint.tryEpoch run 1).Value.Epoch 2 "the epoch on disk"
      }

      test "if no epoch's end is left, the best of the following epochs is written" {
          use folder = new TempFolder()
          let run = finished folder 9
          File.Delete(run.Best 1)

          // Keep the checkpoint after the second epoch's second step.
          for _, path in RunFolder.checkpoints run 1 do
              let cursor = (Checkpoint.readState path).TrainingCursor

              if (cursor.Epoch, cursor.Step) <> (1, 2) then
                  File.Delete path

          let again, events = plan folder.Path 9
          train again |> ignore
          let warning = warnings events |> List.find _.Contains(run.Best 1)
          contains [ "is missing"; "is lost"; "following epochs" ] warning
          Expect.equal (BestCheckpoint.tryEpoch run 1).Value.Epoch 2 "the epoch on disk"
      } ]

let private locked =
    [ test "a second process is rejected, and the error names the first one" {
          use folder = new TempFolder()
          let run = RunFolder.at folder.Path
          use held = RunLock.Take run
          let text = messageOf<TrainingException, _>(fun () -> train (fst (plan folder.Path 2)))
          contains [ $"process {System.Environment.ProcessId} on"; "is working on this run"; "another folder" ] text
          (held :> System.IDisposable).Dispose()
          Expect.isEmpty (names folder.Path) "the lock file is deleted"
      }

      test "a folder that was created for a rejected run is deleted" {
          use parent = new TempFolder()
          let folder = parent.File "run"
          using (RunLock.Take { Path = folder }) ignore
          Expect.isFalse (Directory.Exists folder) "the folder"
      } ]

/// A power failure cannot be tested here, but the order of the system calls that protect against it can.
let private durable =
    [ test "a file is flushed before it is renamed, and its folder after that" {
          use folder = new TempFolder()
          let trace = folder.File "trace"
          let tool = Path.Combine(repository, "artifacts", "normfree", "normfree")
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
              Expect.equal three [ "fsync"; "rename"; "fsync" ] "the calls for one file"
      } ]

let tests =
    testList
        "run folders"
        [ testList "kept" kept
          testList "damaged" damaged
          testList "best" bestTests
          testList "obstructed" ObstructedRunTests.tests
          testList "locked" locked
          testList "durable" durable ]
