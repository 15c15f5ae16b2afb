/// Files that are written completely or not at all, whichever system call of the writer fails.
module NormFree.Tests.Formats.AtomicFileTests

open System
open System.IO
open Expecto
open NormFree.Formats
open NormFree.Tests.Formats.FailingSystemCalls

/// Runs with the path of a file with the content "old", in a folder of its own.
let private inFolder action =
    let folder = Directory.CreateTempSubdirectory "normfree-"

    try
        let path = Path.Combine(folder.FullName, "target.bin")
        File.WriteAllText(path, "old")
        action path
    finally
        folder.Delete true

let private folderOf (path: string) = nonNull (Path.GetDirectoryName path)

let private expectOnly path content =
    Expect.equal (File.ReadAllText path) content "content"
    Expect.sequenceEqual (Directory.GetFileSystemEntries(folderOf path)) [ path ] "files in the folder"

/// Writes more than a buffer, after setting the length as writers of column files do.
let private write path =
    AtomicFile.Write(
        path,
        fun stream ->
            stream.SetLength 10L
            stream.Write(ReadOnlySpan(Array.zeroCreate<byte> 100_000))
    )

/// What an action throws while system calls fail.
let private failing failures action =
    match run failures action with
    | None -> skiptest "this system does not let a thread filter its system calls"
    | Some thrown -> thrown

let private expectError (path: string) (thrown: exn option) =
    match thrown with
    | Some(:? IOException as error) -> Expect.stringContains error.Message path "names the target"
    | Some(:? UnauthorizedAccessException as error) -> Expect.stringContains error.Message path "names the target"
    | other -> failtest $"not an I/O error: {other}"

let private special =
    let isKept path =
        inFolder (fun old ->
            let target: string = path (folderOf old)
            let before = Directory.GetFileSystemEntries(folderOf old)
            let thrown = Expect.throwsC (fun () -> write target) id
            Expect.stringContains thrown.Message $"{target} is a device, pipe or socket" "what it is"
            Expect.sequenceEqual (Directory.GetFileSystemEntries(folderOf old)) before "no temporary file"
            Expect.isTrue (NormFree.Platform.DiskFiles.IsSpecial target) "it is still there")

    let pipe folder =
        let path = Path.Combine(folder, "pipe")
        use made = Diagnostics.Process.Start("mkfifo", [ path ])
        made.WaitForExit()
        path

    let linkTo (target: string) folder =
        let path = Path.Combine(folder, "link")
        File.CreateSymbolicLink(path, target) |> ignore
        path

    [ test "a lock file that is a pipe is an error" {
          inFolder (fun path ->
              let lock = pipe (folderOf path)
              let thrown = Expect.throwsC (fun () -> FileLock.TryTake(lock, "mark") |> ignore) id
              Expect.stringContains thrown.Message $"{lock} is a device, pipe or socket" "what it is")
      }

      test "a pipe is not replaced by a file" { isKept pipe }
      test "a link to a pipe is not replaced by a file" { isKept (fun folder -> linkTo (pipe folder) folder) }
      test "a link to a device is not replaced by a file" { isKept (linkTo "/dev/null") } ]

let private failures =
    [ for call, errors in
          [ Create, [ eio; enospc; edquot; eacces; emfile ]
            FLock, [ eagain ]
            FTruncate, [ eio; enospc ]
            PWrite, [ eio; enospc; edquot ]
            FSync, [ eio; enospc; edquot ]
            Rename, [ eio; enospc; edquot; eacces ] ] do
          for error in errors do
              test $"{call} that fails with error {error} keeps the old file and leaves nothing else" {
                  inFolder (fun path ->
                      failing [ call, error ] (fun () -> write path) |> expectError path
                      expectOnly path "old")
              }

      test "a temporary file that cannot be deleted does not hide the first error, and is removed later" {
          inFolder (fun path ->
              failing [ FSync, enospc; Unlink, eio ] (fun () -> write path) |> expectError path
              Expect.equal (File.ReadAllText path) "old" "the old file"
              Expect.hasLength (Directory.GetFileSystemEntries(folderOf path)) 2 "with the temporary file"
              AtomicFile.RemoveLeftovers(folderOf path)
              expectOnly path "old")
      }

      test "unlink is not needed to write a file" {
          inFolder (fun path ->
              Expect.isNone (failing [ Unlink, eio ] (fun () -> write path)) "error"
              Expect.equal (FileInfo(path).Length) 100_000L "the new file")
      }

      test "a folder that cannot be opened for flushing is an error, and the message says that the file is there" {
          inFolder (fun path ->
              match failing [ OpenFolder, emfile ] (fun () -> write path) with
              | Some(:? IOException as error) ->
                  Expect.stringContains error.Message "complete but may not survive a power failure" "message"
                  Expect.equal (FileInfo(path).Length) 100_000L "the new file"
              | other -> failtest $"not an I/O error: {other}")
      }

      test "a folder that may not be read is written to all the same" {
          inFolder (fun path ->
              Expect.isNone (failing [ OpenFolder, eacces ] (fun () -> write path)) "error"
              Expect.equal (FileInfo(path).Length) 100_000L "the new file")
      }

      test "a lock that cannot be written is an error and is not held" {
          inFolder (fun path ->
              let take () = FileLock.TryTake(path, "me") |> fst
              expectError path (failing [ PWrite, enospc ] (fun () -> take () |> ignore))
              use held = take ()
              Expect.isNotNull held "taken by another")
      } ]

let private replacing =
    [ test "a file that its producer rejects does not replace the old one" {
          inFolder (fun path ->
              let rejected =
                  AtomicFile.Replace(
                      path,
                      fun temporary ->
                          File.WriteAllText(temporary, "bad")
                          false
                  )

              Expect.isFalse rejected "replaced"
              expectOnly path "old")
      }

      test "a producer that throws does not replace the old file" {
          inFolder (fun path ->
              let produce temporary : bool =
                  File.WriteAllText(temporary, "bad")
                  invalidOp "the check failed"

              Expect.throwsT<InvalidOperationException>
                  (fun () -> AtomicFile.Replace(path, produce) |> ignore)
                  "comes through"

              expectOnly path "old")
      }

      test "a file that its producer approves replaces the old one" {
          inFolder (fun path ->
              let replaced =
                  AtomicFile.Replace(
                      path,
                      fun temporary ->
                          AtomicFile.Write(temporary, fun stream -> stream.Write(ReadOnlySpan "new"B))
                          File.ReadAllText temporary = "new"
                  )

              Expect.isTrue replaced "replaced"
              expectOnly path "new")
      } ]

let tests =
    testList
        "atomic files"
        [ testList "failures" failures; testList "replacing" replacing; testList "special files" special ]
