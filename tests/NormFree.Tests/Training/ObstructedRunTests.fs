/// Run folders that cannot be written: blocked, deleted, read-only and full.
module NormFree.Tests.Training.ObstructedRunTests

open System.IO
open Expecto
open NormFree.Data
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Training.RunFolderSupport

/// Runs an action at the nth step.
let private atStep n (action: unit -> unit) (plan: Plan) =
    let mutable count = 0

    let handler event =
        plan.Options.OnEvent event

        match event with
        | StepDone _ ->
            count <- count + 1

            if count = n then
                action ()
        | _ -> ()

    { plan with Options = { plan.Options with OnEvent = handler } }

/// Runs a test in a folder that is a file system of 1 MB.
let private onSmallDisk (body: string -> unit) =
    use folder = new TempFolder()

    if run "mount" [ "-t"; "tmpfs"; "-o"; "size=1m"; "none"; folder.Path ] <> 0 then
        skiptest "this user cannot mount a small file system"

    try
        body folder.Path
    finally
        run "umount" [ folder.Path ] |> ignore

let tests =
    [ test "if a checkpoint cannot be written, the run warns, continues and writes the next one" {
          use folder = new TempFolder()
          let expected = Fingerprint.ofRun (finished folder 1)
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

      test "if the folder is deleted, the run ends at the end of its stage and does not create it again" {
          use parent = new TempFolder()
          let folder = parent.File "run"
          let plan, events = plan folder 1
          let mutable steps = 0

          let counted =
              plan |> atStep 2 (fun () -> Directory.Delete(folder, true)) |> atStep 8 (fun () -> steps <- 8)

          let text = messageOf<DirectoryNotFoundException, _>(fun () -> train counted)
          contains [ folder; "there is no folder" ] text
          Expect.equal steps 8 "all steps were taken"
          Expect.isNonEmpty (warnings events) "warnings"
          Expect.isFalse (Directory.Exists folder) "the folder"
      }

      test "if the folder is read-only for a while, checkpoints are lost but no step" {
          use whole = new TempFolder()
          let expected = Fingerprint.ofRun (finished whole 1)
          use folder = new TempFolder()
          // Permissions do not stop root, the immutable flag does.
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

      test "a full disk leaves the older checkpoints intact, and no temporary files" {
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

              Expect.equal intact "epoch 1, step 1" "the earlier checkpoint"
              Expect.isNonEmpty (warnings events) "warnings"
              Expect.equal (Checkpoint.readState path).TrainingCursor (TrainingCursor.startOf 2) "the last one")
      } ]
